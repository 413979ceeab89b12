"""The Newton systems of the interior point method for the hinge loss with the row-group penalty."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# First ridge to try, relative to the largest diagonal entry: duplicated columns leave the factorisation undefined.
RIDGE = 1e-14
# Conjugate gradients repair what the ridge and the cancellation in the low-rank correction take from the solution.
CG_TOLERANCE = 1e-11
CG_STEPS = 40


class NewtonSystem:
    """K W = D^T (theta * (D W)) + delta (W - f (f . W)), row j of f . W being the inner product with f_j.

    The first two terms do not couple outputs; the coupling is one rank a column, so K^{-1} costs C factorisations of
    P x P and one more (Woodbury), instead of one of P C x P C.
    """

    def __init__(self, D: Tensor, theta: Tensor, delta: Tensor, f: Tensor) -> None:
        """`D` (m, P), `theta` (m, C) positive, `delta` (P, 1) positive, `f` (P, C) of row norm < 1; all float64."""
        self.D, self.theta, self.delta, self.f = D, theta, delta, f
        self.scaled = delta.sqrt() * f
        self.factors: list[Tensor] = []
        coupling = torch.eye(D.shape[1], dtype=D.dtype, device=D.device)
        for c in range(theta.shape[1]):
            rows = D * theta[:, c : c + 1].sqrt()
            gram = rows.T @ rows
            gram.diagonal().add_(delta[:, 0])
            factor = _factor_with_ridge(gram)
            self.factors.append(factor)
            coupling -= self.scaled[:, c : c + 1] * torch.cholesky_inverse(factor) * self.scaled[:, c]
        self.coupling = _factor_with_ridge(coupling)

    def apply(self, W: Tensor) -> Tensor:
        """K W for W of shape (P, C)."""
        radial = self.f * (self.f * W).sum(dim=1, keepdim=True)
        return self.D.T @ (self.theta * (self.D @ W)) + self.delta * (W - radial)

    def solve(self, right: Tensor) -> Tensor:
        """K^{-1} right, by conjugate gradients preconditioned with the factorisation."""
        x = self._precondition(right)
        r = right - self.apply(x)
        best, best_norm, target = x, float(r.norm()), CG_TOLERANCE * float(right.norm())
        z = self._precondition(r)
        p, rz = z, float((r * z).sum())
        for _ in range(CG_STEPS):
            if best_norm <= target:
                break
            Kp = self.apply(p)
            curvature = float((p * Kp).sum())
            if not (curvature > 0.0 and rz > 0.0):
                break
            x = x + (rz / curvature) * p
            r = r - (rz / curvature) * Kp
            if float(r.norm()) < best_norm:
                best, best_norm = x, float(r.norm())
            z = self._precondition(r)
            rz, previous = float((r * z).sum()), rz
            p = z + (rz / previous) * p
        return best

    def _precondition(self, right: Tensor) -> Tensor:
        x = self._solve_outputs(right)
        inner = (self.scaled * x).sum(dim=1, keepdim=True)
        return x + self._solve_outputs(self.scaled * torch.cholesky_solve(inner, self.coupling))

    def _solve_outputs(self, right: Tensor) -> Tensor:
        parts = [torch.cholesky_solve(right[:, c : c + 1], factor) for c, factor in enumerate(self.factors)]
        return torch.cat(parts, dim=1)


def _factor_with_ridge(matrix: Tensor) -> Tensor:
    """Cholesky factor of a matrix that is positive definite but for rounding, with the smallest ridge that works."""
    ridge, largest = RIDGE, float(matrix.diagonal().abs().max())
    while math.isfinite(largest) and ridge < 1.0:
        shifted = matrix.clone()
        shifted.diagonal().add_(ridge * largest)
        factor, info = torch.linalg.cholesky_ex(shifted)
        if int(info) == 0:
            return factor
        ridge *= 10.0
    raise ArithmeticError("the Newton system is not finite")
