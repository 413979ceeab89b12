"""Cholesky factors of the Newton systems, revised when few entries change."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.newton.curvature import CurvatureMatrix, Entries

# Up to this many changed entries, or this part of all, a factor is revised rather than made anew. A revision costs
# about 2 A^2 operations an entry, for A entries in all, a new factor A^3 / 3 and a copy of the matrix.
REVISED_ENTRIES = 32
REVISED_SHARE = 0.08


class Factor:
    """Cholesky factor L of K = R H R^T + J^-1 on some entries."""

    def __init__(self, matrix: CurvatureMatrix, entries: Entries, inverse: RowMatrices) -> None:
        self.matrix, self.entries, self.inverse = matrix, entries, inverse
        column, output = entries.column, entries.output
        K = matrix.lower(entries.position)
        diagonal, vector, _ = inverse
        K.diagonal().add_(diagonal[column, output].to(K.dtype))
        if vector is not None:
            v = vector[column, output].to(K.dtype)
            K -= torch.where(column.unsqueeze(1) == column, torch.outer(v, v), 0.0)
        self.lower = cholesky(K)

    def revised(self, matrix: CurvatureMatrix, entries: Entries, inverse: RowMatrices) -> RevisedFactor | None:
        """The factor on other entries, or None where it is cheaper, or necessary, to begin anew."""
        same = matrix is self.matrix and inverse.vector is None and self.inverse.vector is None
        if not same or not torch.equal(self.inverse.diagonal[:1, :1], inverse.diagonal[:1, :1]):
            return None
        removed = torch.nonzero(~torch.isin(self.entries.position, entries.position)).flatten()
        kept = torch.isin(entries.position, self.entries.position)
        changed = len(removed) + int((~kept).sum())
        if changed > max(REVISED_ENTRIES, int(REVISED_SHARE * len(self.lower))):
            return None
        return RevisedFactor(self, entries, removed, kept)

    def solve(self, X: Tensor, out: Tensor) -> None:
        """Write K^-1 X into `out` (P, C), at the entries of the factor."""
        column, output = self.entries.column, self.entries.output
        right = X[column, output].to(self.lower.dtype).unsqueeze(1)
        out[column, output] = self.backward(self.forward(right)).squeeze(1).to(X.dtype)

    def forward(self, right: Tensor) -> Tensor:
        """L^-1 right. (Triangular solves read the factor in place; torch.cholesky_solve copies it first.)"""
        return torch.linalg.solve_triangular(self.lower, right, upper=False)

    def backward(self, right: Tensor) -> Tensor:
        """L^-T right."""
        return torch.linalg.solve_triangular(self.lower.T, right, upper=True)


class RevisedFactor:
    """K^-1 on the entries of a factor, less some that are removed and with some that are added.

    Added entries border L by the rows (B^T, M). Removed entries r stay, with their values held at zero: with
    Z = L^-1 E_r the solution of K y = x under y_r = 0 is L^-T (I - Z (Z^T Z)^-1 Z^T) L^-1 x.

    All entries of J^-1 are equal, as they are for the l1 penalty.
    """

    def __init__(self, base: Factor, entries: Entries, removed: Tensor, kept: Tensor) -> None:
        self._base = base
        old, dtype = base.entries, base.lower.dtype
        added = torch.nonzero(~kept).flatten()
        self._column = torch.cat([old.column, entries.column[added]])
        self._output = torch.cat([old.output, entries.output[added]])
        self._removed, self._count = removed, len(old.position)
        position = entries.position[added]
        self._border = base.forward(base.matrix.between(old.position, position))
        corner = base.matrix.between(position, position)
        corner.diagonal().add_(float(base.inverse.diagonal[0, 0]))
        self._corner = cholesky(corner - self._border.T @ self._border)
        held = torch.zeros(len(old.position), len(removed), dtype=dtype, device=base.lower.device)
        held[removed, torch.arange(len(removed), device=held.device)] = 1.0
        self._held = torch.cat(self._forward(held, held.new_zeros(len(added), len(removed))))
        self._gram = cholesky(self._held.T @ self._held)

    def solve(self, X: Tensor, out: Tensor) -> None:
        """Write K^-1 X into `out` (P, C), at the entries of the factor."""
        right = X[self._column, self._output].to(self._held.dtype).unsqueeze(1)
        right[self._removed] = 0.0
        half = torch.cat(self._forward(right[: self._count], right[self._count :]))
        half -= self._held @ torch.cholesky_solve(self._held.T @ half, self._gram)
        new = torch.linalg.solve_triangular(self._corner.T, half[self._count :], upper=True)
        y = torch.cat([self._base.backward(half[: self._count] - self._border @ new), new])
        y[self._removed] = 0.0
        out[self._column, self._output] = y.squeeze(1).to(X.dtype)

    def _forward(self, old: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
        half = self._base.forward(old)
        return half, torch.linalg.solve_triangular(self._corner, new - self._border.T @ half, upper=False)


def cholesky(K: Tensor) -> Tensor:
    """Lower Cholesky factor of K, with the smallest ridge that rounding makes necessary."""
    if not K.numel():
        return K
    ridge = 8.0 * torch.finfo(K.dtype).eps * float(K.diagonal().mean())
    for _ in range(12):
        K.diagonal().add_(ridge)
        factor, info = torch.linalg.cholesky_ex(K)
        if int(info) == 0:
            return factor
        ridge *= 10.0
    return torch.diag(K.diagonal().abs().sqrt())


def solve_factored(lower: Tensor, right: Tensor) -> Tensor:
    """(L L^T)^-1 right; unlike torch.cholesky_solve it does not copy the factor L first."""
    half = torch.linalg.solve_triangular(lower, right, upper=False)
    return torch.linalg.solve_triangular(lower.T, half, upper=True)
