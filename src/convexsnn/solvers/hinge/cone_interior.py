"""Primal-dual interior point method for the hinge loss with the row-group penalty, on given dense columns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.solvers.hinge.cone_newton import NewtonSystem
from convexsnn.solvers.hinge.second_order_cone import Scaling, divide, longest_step, product

# How far to go towards the boundary of the cones.
BOUNDARY = 0.99


@dataclass
class ConeDirection:
    """Changes of the iterate; the first four are primal, the last two dual."""

    surplus: Tensor
    shortfall: Tensor
    x: Tensor
    W: Tensor
    a: Tensor
    Z: Tensor


class ConeInteriorPoint:
    """Iterates of the conic pair, everything scaled by 1/s, s the mean row weight (a = s b in theory.md's terms).

    Primal: min sum c * shortfall + rho sum_j t_j with surplus - shortfall = Y * (D W) - 1, both >= 0, |W_j| <= t_j.
    Dual: max sum a with 0 <= a <= c and |Z_j| <= rho, Z = D^T (Y a). Every iterate is strictly dual feasible.

    References
    ----------
    L. Vandenberghe, The CVXOPT linear and quadratic cone program solvers, 2010 (Mehrotra's predictor and corrector
    with Nesterov-Todd scaling).
    """

    def __init__(self, D: Tensor, Y: Tensor, cost: Tensor, rho: float) -> None:
        """`D` (m, P), `Y` (m, C) of +-1, `cost` (m, 1) positive with mean one, all float64."""
        self.D, self.Y, self.rho = D, Y, rho
        self.cost = cost.expand_as(Y)
        Z = D.T @ (Y * self.cost)
        largest = float(Z.norm(dim=1).max())
        fraction = 0.5 * min(1.0, rho / max(largest, 1e-300))
        self.a = self.cost * fraction
        self.Z = D.T @ (Y * self.a)
        # Primal feasible with W = 0, and of complementarity near one in each row's less central product.
        self.surplus = torch.full_like(self.a, 1.0 / fraction)
        self.shortfall = self.surplus + 1.0
        self.W = Z.new_zeros(Z.shape)
        self.t = Z.new_full((len(Z), 1), 0.5 / (rho * fraction))
        self.degree = 2 * Y.numel() + len(Z)

    @property
    def dual(self) -> float:
        """Dual objective, times 1/s; a lower bound for these columns."""
        return float(self.a.sum())

    def primal(self, W: Tensor) -> float:
        """Primal objective of `W` (P, C), times 1/s."""
        hinge = (1.0 - self.Y * (self.D @ W)).clamp(min=0.0)
        return float((self.cost * hinge).sum() + self.rho * W.norm(dim=1).sum())

    def sparse_weights(self) -> Tensor:
        """The weights, with zero for the rows whose dual constraint is slacker than the row is long.

        Strict complementarity makes one of the two (both relative) tend to zero for each row.
        """
        length = self.W.norm(dim=1)
        slack = 1.0 - self.Z.norm(dim=1) / self.rho
        return self.W * (length > slack * length.max()).unsqueeze(1)

    def step(self) -> None:
        """One predictor and corrector step. Raises ArithmeticError when float64 gives no further direction."""
        x, z = torch.cat([self.t, self.W], dim=1), self._dual_cone(self.Z, self.rho)
        scaling = Scaling.of(x, z)
        above = self.cost - self.a
        theta = 1.0 / (self.surplus / self.a + self.shortfall / above)
        excess = 2.0 * scaling.w[:, :1] ** 2 - 1.0
        system = NewtonSystem(self.D, theta, scaling.beta**-2, scaling.w[:, 1:] * (2.0 / excess).sqrt())
        mu = self.complementarity()
        lam_square = product(scaling.lam, scaling.lam)
        affine = self._direction(system, scaling, theta, -self.a * self.surplus, -above * self.shortfall, -lam_square)
        primal, dual = self._step_lengths(x, z, affine, 1.0)
        sigma = (1.0 - min(primal, dual)) ** 3
        centre = torch.zeros_like(x)
        centre[:, 0] = sigma * mu
        second_order = product(scaling.apply_inverse(affine.x), scaling.apply(self._dual_cone(affine.Z, 0.0)))
        corrected = self._direction(
            system,
            scaling,
            theta,
            sigma * mu - self.a * self.surplus - affine.a * affine.surplus,
            sigma * mu - above * self.shortfall + affine.a * affine.shortfall,
            centre - lam_square - second_order,
        )
        primal, dual = self._step_lengths(x, z, corrected, BOUNDARY)
        if not math.isfinite(primal + dual):
            raise ArithmeticError("the Newton direction is not finite")
        self._move(corrected, primal, dual)

    def _direction(
        self, system: NewtonSystem, scaling: Scaling, theta: Tensor, low: Tensor, high: Tensor, cone: Tensor
    ) -> ConeDirection:
        """The Newton direction for right hand sides of the three complementarity conditions."""
        above = self.cost - self.a
        infeasible = self.Y * (self.D @ self.W) - 1.0 - self.surplus + self.shortfall
        h = low / self.a - high / above - infeasible
        p = scaling.apply_inverse(divide(scaling.lam, cone))
        w0, w1 = scaling.w[:, :1], scaling.w[:, 1:]
        square = scaling.beta**-2
        g00, g1 = square * (2.0 * w0**2 - 1.0), -2.0 * square * w0 * w1
        W = system.solve(self.D.T @ (self.Y * theta * h) + p[:, 1:] - g1 * (p[:, :1] / g00))
        a = theta * (h - self.Y * (self.D @ W))
        t = (p[:, :1] - (g1 * W).sum(dim=1, keepdim=True)) / g00
        surplus, shortfall = (low - self.surplus * a) / self.a, (high + self.shortfall * a) / above
        return ConeDirection(surplus, shortfall, torch.cat([t, W], dim=1), W, a, self.D.T @ (self.Y * a))

    def _step_lengths(self, x: Tensor, z: Tensor, d: ConeDirection, fraction: float) -> tuple[float, float]:
        primal = min(_ratio(self.surplus, d.surplus), _ratio(self.shortfall, d.shortfall), longest_step(x, d.x))
        dual = min(_ratio(self.a, d.a), _ratio(self.cost - self.a, -d.a), longest_step(z, self._dual_cone(d.Z, 0.0)))
        return min(1.0, fraction * primal), min(1.0, fraction * dual)

    def _move(self, d: ConeDirection, primal: float, dual: float) -> None:
        self.surplus = self.surplus + primal * d.surplus
        self.shortfall = self.shortfall + primal * d.shortfall
        self.t, self.W = self.t + primal * d.x[:, :1], self.W + primal * d.W
        self.a = self.a + dual * d.a
        self.Z = self.D.T @ (self.Y * self.a)

    def complementarity(self) -> float:
        """Mu, the mean product of complementary variables: `degree` times it is the gap of the dense iterate."""
        rows = (self.a * self.surplus).sum() + ((self.cost - self.a) * self.shortfall).sum()
        return float(rows + self.rho * self.t.sum() - (self.W * self.Z).sum()) / self.degree

    def _dual_cone(self, Z: Tensor, first: float) -> Tensor:
        return torch.cat([Z.new_full((len(Z), 1), first), -Z], dim=1)


def _ratio(values: Tensor, change: Tensor) -> float:
    """The largest step that keeps `values` + step * `change` nonnegative."""
    return float(torch.where(change < 0.0, -values / change, torch.inf).min())
