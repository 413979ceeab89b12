"""Primal-dual interior point method for one hinge output with the l1 penalty, on given dense columns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# How far to go towards the boundary.
BOUNDARY = 0.995
# Slack of the first iterate, in units of the margin: of the values tried (0.1 to 1000) it took the fewest steps.
FIRST_SURPLUS = 0.1
# The centring parameter is the cube of what the predictor leaves of the complementarity, and at least this.
LEAST_CENTRING = 1e-6
# Conjugate gradients stop at this relative residual in the norm of the system.
CG_TOL = 1e-6
CG_LIMIT = 60
# A float32 factor that needs more iterations than this is given up for float64 ones.
LOW_PRECISION_LIMIT = 12


@dataclass(frozen=True)
class LinearDirection:
    """Changes of the iterate; the first four are primal, the last two dual."""

    surplus: Tensor
    shortfall: Tensor
    positive: Tensor
    negative: Tensor
    a: Tensor
    Z: Tensor


@dataclass(frozen=True)
class ProductChange:
    """What the products of complementary variables are to change by, to first order."""

    low: Tensor
    high: Tensor
    positive: Tensor
    negative: Tensor


class LinearInteriorPoint:
    """Iterates of the pair of linear programs, everything scaled by 1/s, s the mean row weight (a = s b).

    Primal: min sum c * shortfall + rho sum(positive + negative), W = positive - negative, with
    surplus - shortfall = Y * (D W) - 1 and all four nonnegative. Dual: max sum a with 0 <= a <= c and |Z| <= rho,
    Z = D^T (Y a). Every iterate is strictly feasible for both. The Newton systems have the columns as unknowns, and
    their float32 factors serve until they precondition too little: 0/1 columns are exact in every precision.

    References
    ----------
    S. Mehrotra, On the implementation of a primal-dual interior point method, SIAM J. Optim. 2 (1992).
    """

    def __init__(self, D: Tensor, Y: Tensor, cost: Tensor, rho: float) -> None:
        """`D` (m, P), `Y` (m, 1) of +-1, `cost` (m, 1) positive with mean one, all float64."""
        self.cost, self.rho = cost[:, 0], rho
        self._D = D * Y
        self._columns = self._D.T.to(torch.float32).contiguous()
        Z = self._D.T @ self.cost
        self._a = self.cost * (0.5 * min(1.0, rho / max(float(Z.abs().max()), 1e-300)))
        self._above = self.cost - self._a
        Z = self._D.T @ self._a
        # Slacks are iterates of their own: near the end differences such as rho - Z have no correct digit left.
        self._slack_positive, self._slack_negative = rho - Z, rho + Z
        self._surplus = torch.full_like(self._a, FIRST_SURPLUS)
        self._shortfall = self._surplus + 1.0
        mu = float(self._a @ self._surplus + self._above @ self._shortfall) / (2 * len(self._a))
        self._positive = torch.full_like(Z, mu / rho)
        self._negative = self._positive.clone()

    @property
    def a(self) -> Tensor:
        """The dual iterate, shape (m, 1)."""
        return self._a.unsqueeze(1)

    @property
    def dual(self) -> float:
        """Dual objective, times 1/s; a lower bound for these columns."""
        return float(self._a.sum())

    def primal(self, W: Tensor) -> float:
        """Primal objective of `W` (P, 1), times 1/s."""
        hinge = (1.0 - self._D @ W[:, 0]).clamp(min=0.0)
        return float(self.cost @ hinge + self.rho * W.abs().sum())

    def sparse_weights(self) -> Tensor:
        """The weights (P, 1), with zero where the dual constraint is slacker than the weight is large.

        Strict complementarity makes one of the two (both relative) tend to zero for each column.
        """
        W = self._positive - self._negative
        slack = torch.minimum(self._slack_positive, self._slack_negative) / self.rho
        return torch.where(W.abs() > slack * W.abs().max(), W, 0.0).unsqueeze(1)

    def complementarity(self) -> float:
        """Mu, the mean product of complementary variables."""
        rows = self._a @ self._surplus + self._above @ self._shortfall
        columns = self._positive @ self._slack_positive + self._negative @ self._slack_negative
        return float(rows + columns) / (2 * len(self._a) + 2 * len(self._positive))

    def step(self) -> None:
        """One predictor and corrector step. Raises ArithmeticError when float64 gives no further direction."""
        mu = self.complementarity()
        theta = 1.0 / (self._surplus / self._a + self._shortfall / self._above)
        delta = 1.0 / (self._positive / self._slack_positive + self._negative / self._slack_negative)
        system = _System(self._D, self._columns, theta, delta)
        now = ProductChange(
            -self._a * self._surplus,
            -self._above * self._shortfall,
            -self._positive * self._slack_positive,
            -self._negative * self._slack_negative,
        )
        infeasible = self._D @ (self._positive - self._negative) - 1.0 - self._surplus + self._shortfall
        affine = self._direction(system, now, infeasible)
        left = self._complementarity_after(affine) / mu
        centre = mu * min(1.0, max(left**3, LEAST_CENTRING))
        corrected = ProductChange(
            centre + now.low - affine.a * affine.surplus,
            centre + now.high + affine.a * affine.shortfall,
            centre + now.positive + affine.positive * affine.Z,
            centre + now.negative - affine.negative * affine.Z,
        )
        self._move(self._direction(system, corrected, infeasible))
        self._columns = system.columns

    def _direction(self, system: _System, target: ProductChange, infeasible: Tensor) -> LinearDirection:
        """The Newton direction for changes of the four products and a residual of the primal constraints."""
        h = target.low / self._a - target.high / self._above - infeasible
        q = target.positive / self._slack_positive - target.negative / self._slack_negative
        W = system.solve(self._D.T @ (system.theta * h) + system.delta * q)
        moved = self._D @ W
        a = system.theta * (h - moved)
        Z = self._D.T @ a
        surplus = (target.low - self._surplus * a) / self._a
        shortfall = (target.high + self._shortfall * a) / self._above
        # Of two changes whose difference is known the one with the smaller error gives the other; so rounding, which
        # their ratios of slack to value magnify without bound, never takes the iterate out of the primal constraints.
        surplus, shortfall = _of_difference(
            surplus, shortfall, infeasible + moved, self._surplus * self._above < self._shortfall * self._a
        )
        positive = (target.positive + self._positive * Z) / self._slack_positive
        negative = (target.negative - self._negative * Z) / self._slack_negative
        positive, negative = _of_difference(
            positive, negative, W, self._positive * self._slack_negative < self._negative * self._slack_positive
        )
        return LinearDirection(surplus, shortfall, positive, negative, a, Z)

    def _step_lengths(self, d: LinearDirection, fraction: float) -> tuple[float, float]:
        primal = min(
            _ratio(self._surplus, d.surplus),
            _ratio(self._shortfall, d.shortfall),
            _ratio(self._positive, d.positive),
            _ratio(self._negative, d.negative),
        )
        dual = min(
            _ratio(self._a, d.a),
            _ratio(self._above, -d.a),
            _ratio(self._slack_positive, -d.Z),
            _ratio(self._slack_negative, d.Z),
        )
        return min(1.0, fraction * primal), min(1.0, fraction * dual)

    def _complementarity_after(self, d: LinearDirection) -> float:
        primal, dual = self._step_lengths(d, 1.0)
        after = (self._a + dual * d.a) @ (self._surplus + primal * d.surplus)
        after += (self._above - dual * d.a) @ (self._shortfall + primal * d.shortfall)
        after += (self._slack_positive - dual * d.Z) @ (self._positive + primal * d.positive)
        after += (self._slack_negative + dual * d.Z) @ (self._negative + primal * d.negative)
        return float(after) / (2 * len(self._a) + 2 * len(self._positive))

    def _move(self, d: LinearDirection) -> None:
        primal, dual = self._step_lengths(d, BOUNDARY)
        finite = math.isfinite(float(d.a.sum() + d.Z.sum() + d.surplus.sum() + d.positive.sum()))
        if not finite or max(primal, dual) <= 0.0:
            raise ArithmeticError("the Newton direction is not finite")
        self._surplus = self._surplus + primal * d.surplus
        self._shortfall = self._shortfall + primal * d.shortfall
        self._positive = self._positive + primal * d.positive
        self._negative = self._negative + primal * d.negative
        self._a = self._a + dual * d.a
        self._above = self._above - dual * d.a
        self._slack_positive = self._slack_positive - dual * d.Z
        self._slack_negative = self._slack_negative + dual * d.Z


class _System:
    """K = D^T diag(theta) D + diag(delta): a Cholesky factor, and conjugate gradients in float64 to correct it.

    Attributes
    ----------
    columns : tensor of shape (P, m)
        The transpose of D in the precision of the factor: float64 once float32 does not do.
    """

    def __init__(self, D: Tensor, columns: Tensor, theta: Tensor, delta: Tensor) -> None:
        self.theta, self.delta, self.columns = theta, delta, columns
        self._D = D
        scaled, half = columns * theta.to(columns.dtype), len(columns) // 2
        K = columns.new_empty(len(columns), len(columns))
        # Only the lower triangle is needed; leaving out the upper right quarter is most of what can be saved.
        K[:half, :half] = scaled[:half] @ columns[:half].T
        K[half:] = scaled[half:] @ columns.T
        self._factor = _cholesky(K, delta)

    def solve(self, right: Tensor) -> Tensor:
        """K^-1 right, for `right` of shape (P,)."""
        x = self._precondition(right)
        residual = right - self._apply(x)
        energy_limit = CG_TOL**2 * float(right @ x)
        direction = step = self._precondition(residual)
        energy = float(residual @ step)
        iterations = 0
        while energy > energy_limit and iterations < CG_LIMIT:
            image = self._apply(direction)
            along = float(direction @ image)
            if not along > 0.0:
                break
            x = x + (energy / along) * direction
            residual = residual - (energy / along) * image
            step = self._precondition(residual)
            energy, previous = float(residual @ step), energy
            direction = step + (energy / previous) * direction
            iterations += 1
        if iterations > LOW_PRECISION_LIMIT and self.columns.dtype == torch.float32:
            self.columns = self._D.T.contiguous()
        return x

    def _apply(self, x: Tensor) -> Tensor:
        return self._D.T @ (self.theta * (self._D @ x)) + self.delta * x

    def _precondition(self, x: Tensor) -> Tensor:
        y = x.to(self._factor.dtype).unsqueeze(1)
        y = torch.linalg.solve_triangular(self._factor, y, upper=False)
        y = torch.linalg.solve_triangular(self._factor.T, y, upper=True)
        return y.squeeze(1).to(x.dtype)


def _cholesky(K: Tensor, delta: Tensor) -> Tensor:
    """Cholesky factor of K + diag(delta), with the smallest relative ridge that rounding makes necessary."""
    diagonal = K.diagonal() + delta.to(K.dtype)
    ridge = 0.5 * torch.finfo(K.dtype).eps
    while bool(torch.isfinite(diagonal).all()) and ridge < 1.0:
        K.diagonal().copy_(diagonal * (1.0 + ridge))
        factor, info = torch.linalg.cholesky_ex(K)
        if int(info) == 0:
            return factor
        ridge *= 10.0
    raise ArithmeticError("the Newton system is not finite")


def _of_difference(first: Tensor, second: Tensor, difference: Tensor, trust_first: Tensor) -> tuple[Tensor, Tensor]:
    """Change one of two tensors so that first - second = difference; the other, where it is trusted, is kept."""
    return torch.where(trust_first, first, second + difference), torch.where(trust_first, first - difference, second)


def _ratio(values: Tensor, change: Tensor) -> float:
    """The largest step that keeps `values` + step * `change` nonnegative."""
    return float(torch.where(change < 0.0, -values / change, torch.inf).min())
