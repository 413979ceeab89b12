"""The Newton systems of the solver for the elastic penalty."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.newton.system import preconditioned

# Systems of up to this many unknowns, rows times outputs, are solved directly.
DIRECT_LIMIT = 1500


class UsedColumns:
    """B = D J^(1/2) over the A columns in use, with J the Jacobian of the proximal map of the row-group norm.

    For a row W_j of norm s and a threshold t, J_j = k I + (1 - k) e e^T with e = W_j / s and k = s / (s + t).

    Parameters
    ----------
    rows : float64 tensor of shape (A, n)
        The columns in use.
    W : float64 tensor of shape (A, C)
        Their weights, no row of them zero.
    threshold : float
    """

    def __init__(self, rows: Tensor, W: Tensor, threshold: float) -> None:
        sizes = W.norm(dim=1, keepdim=True)
        self.rows, self._unit, self._kept = rows, W / sizes, sizes / (sizes + threshold)

    def matmul(self, X: Tensor) -> Tensor:
        """B X for X of shape (A, C): shape (n, C)."""
        return (self._half(X).T @ self.rows).T

    def rmatmul(self, V: Tensor) -> Tensor:
        """B^T V for V of shape (n, C): shape (A, C)."""
        return self._half(self.rows @ V)

    def jacobian(self, c: int, other: int) -> Tensor:
        """J_j between two outputs, for each column in use: shape (A, 1)."""
        shared = (1.0 - self._kept) * (self._unit[:, c] * self._unit[:, other]).unsqueeze(1)
        return self._kept + shared if c == other else shared

    def square(self) -> Tensor:
        """B B^T, of shape (n, C, n, C)."""
        n, C = self.rows.shape[1], self._unit.shape[1]
        out = self.rows.new_empty(n, C, n, C)
        for c in range(C):
            for other in range(c + 1):
                out[:, c, :, other] = out[:, other, :, c] = self.rows.T @ (self.jacobian(c, other) * self.rows)
        return out

    def _half(self, X: Tensor) -> Tensor:
        root = self._kept.sqrt()
        return root * X + (1.0 - root) * self._unit * (self._unit * X).sum(dim=1, keepdim=True)


class BlockFactor:
    """The inverse of I + sigma B^T H B less what couples the outputs: exact of one output."""

    def __init__(self, columns: UsedColumns, curvature: RowMatrices, sigma: float) -> None:
        diagonal = curvature.diagonal if curvature.vector is None else curvature.diagonal - curvature.vector.square()
        weights = (sigma * diagonal).clamp(min=0.0).sqrt()
        self._outputs = [
            LowRankFactor(columns.rows * columns.jacobian(c, c).sqrt() * weights[:, c]) for c in range(weights.shape[1])
        ]

    def solve(self, X: Tensor) -> Tensor:
        """The inverse times X (A, C)."""
        return torch.cat([factor.solve(X[:, c : c + 1]) for c, factor in enumerate(self._outputs)], dim=1)


class LowRankFactor:
    """(I + Z Z^T)^-1 = I - Z (I + Z^T Z)^-1 Z^T for Z (A, n), by a Cholesky factor of the smaller matrix."""

    def __init__(self, Z: Tensor) -> None:
        self._Z = Z if len(Z) > Z.shape[1] else None
        gram = Z @ Z.T if self._Z is None else Z.T @ Z
        gram.diagonal().add_(1.0 + 8.0 * torch.finfo(Z.dtype).eps * float(gram.diagonal().sum()))
        self._lower = torch.linalg.cholesky(gram)

    def solve(self, X: Tensor) -> Tensor:
        """The inverse times X (A, 1)."""
        if self._Z is None:
            return torch.cholesky_solve(X, self._lower)
        return X - self._Z @ torch.cholesky_solve(self._Z.T @ X, self._lower)


def newton_direction(columns: UsedColumns, curvature: RowMatrices, residual: Tensor, sigma: float) -> Tensor:
    """-(I + sigma B B^T H)^-1 residual, of shape (n, C)."""
    if residual.shape[1] > 1 and residual.numel() <= DIRECT_LIMIT:
        return _directly(columns, curvature, residual, sigma)
    return _by_conjugate_gradients(columns, curvature, residual, sigma)


def _directly(columns: UsedColumns, curvature: RowMatrices, residual: Tensor, sigma: float) -> Tensor:
    n, C = residual.shape
    rows_of_H = RowMatrices(*(None if part is None else part.repeat(n * C, 1) for part in curvature[:2]), curvature[2])  # type: ignore[arg-type]
    matrix = sigma * rows_of_H.apply(columns.square().reshape(n * C * n, C)).reshape(n * C, n * C)
    matrix.diagonal().add_(1.0)
    return -torch.linalg.solve(matrix, residual.reshape(-1)).reshape(n, C)


def _by_conjugate_gradients(columns: UsedColumns, curvature: RowMatrices, residual: Tensor, sigma: float) -> Tensor:
    """-residual + sigma B X with (I + sigma B^T H B) X = B^T H residual."""
    apply = lambda X: X + sigma * columns.rmatmul(curvature.apply(columns.matmul(X)))  # noqa: E731
    right = columns.rmatmul(curvature.apply(residual))
    X, _, _ = preconditioned(apply, BlockFactor(columns, curvature, sigma).solve, right)
    return sigma * columns.matmul(X) - residual
