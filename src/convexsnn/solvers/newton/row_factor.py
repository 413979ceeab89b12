"""The Newton system solved over the rows of the dictionary, where these are fewer than the active entries."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.newton.columns import ScaledColumns
from convexsnn.solvers.newton.factor import cholesky


class RowFactor:
    """K^-1 for K = J^-1 + R H R^T on the active entries, by a Cholesky factor over rows and outputs.

    With H = B B^T, row by row, Woodbury's identity gives K^-1 = J - J R B (I + B^T R^T J R B)^-1 B^T R^T J. Its system
    has at most n * C unknowns, whatever the number of active entries; n * (C - 1) for the softmax, whose H is singular.

    Parameters
    ----------
    columns : ScaledColumns
        Their transpose is R.
    active : bool tensor of shape (P, C)
    curvature : RowMatrices
        H, of n rows.
    inverse : RowMatrices
        J^-1, of P rows.

    References
    ----------
    Li, Sun, Toh, SIAM J. Optim. 28 (2018), section 3.3: which side of the system is factored.
    """

    def __init__(self, columns: ScaledColumns, active: Tensor, curvature: RowMatrices, inverse: RowMatrices) -> None:
        self._chosen = torch.nonzero(active.any(dim=1)).flatten()
        self._active = active[self._chosen]
        self._R = columns.rows(self._chosen, torch.float64)
        vector = None if inverse.vector is None else inverse.vector[self._chosen]
        kept = torch.where(self._active, inverse.diagonal[self._chosen], 1.0)
        self._J = _inverses(RowMatrices(kept, vector)) * (self._active.unsqueeze(1) & self._active.unsqueeze(2))
        self._root = _roots(curvature)
        system = _symmetric(self._root, _between(self._R, self._J))
        system.diagonal().add_(1.0)
        self._lower = cholesky(system)

    def solve(self, X: Tensor, out: Tensor) -> None:
        """Write K^-1 X into `out` (P, C), at the active entries."""
        shrunk = self._shrink(X[self._chosen])
        image = (self._R.T @ shrunk).unsqueeze(1) @ self._root
        inner = torch.cholesky_solve(image.reshape(-1, 1), self._lower).reshape(image.shape)
        back = (inner @ self._root.transpose(1, 2)).squeeze(1)
        out[self._chosen] = shrunk - self._shrink(self._R @ back)

    def _shrink(self, X: Tensor) -> Tensor:
        """J X."""
        return (self._J @ X.unsqueeze(2)).squeeze(2)


def _between(R: Tensor, J: Tensor) -> Tensor:
    """R^T J R as one matrix of rows and rows for each pair of outputs, shape (C, C, n, n)."""
    n, outputs = R.shape[1], J.shape[1]
    between = R.new_zeros(outputs, outputs, n, n)
    for a in range(outputs):
        for b in range(a + 1):
            # The inverse Jacobian of a penalty of single entries couples no outputs.
            if bool(J[:, a, b].any()):
                between[a, b] = between[b, a] = (R.T * J[:, a, b]) @ R
    return between


def _symmetric(root: Tensor, between: Tensor) -> Tensor:
    """B^T M B for roots (n, C, K) and M of shape (C, C, n, n), as a matrix of n * K rows."""
    n, outputs, kept = root.shape
    turned = root.transpose(1, 2)
    left = turned @ between.permute(2, 0, 1, 3).reshape(n, outputs, outputs * n)
    # From (row, kept, output, other row) to (other row, output, row, kept).
    right = left.reshape(n, kept, outputs, n).permute(3, 2, 0, 1).reshape(n, outputs, n * kept)
    return (turned @ right).reshape(n * kept, n * kept)


def _inverses(matrices: RowMatrices) -> Tensor:
    """The inverse of each matrix, (rows, C, C), by the identity of Sherman and Morrison; one block of all outputs."""
    diagonal, vector, _ = matrices
    inverse = torch.diag_embed(1.0 / diagonal)
    if vector is None:
        return inverse
    scaled = vector / diagonal
    rest = (1.0 - (scaled * vector).sum(dim=1)).clamp(min=torch.finfo(diagonal.dtype).eps)
    return inverse + scaled.unsqueeze(2) * scaled.unsqueeze(1) / rest.reshape(-1, 1, 1)


def _roots(matrices: RowMatrices) -> Tensor:
    """B with B B^T the matrix of each row, (rows, C, K): K is below C where all of them are singular."""
    identity = torch.eye(matrices.diagonal.shape[1], dtype=matrices.diagonal.dtype, device=matrices.diagonal.device)
    whole = torch.stack([matrices.apply(unit.expand_as(matrices.diagonal)) for unit in identity], dim=2)
    values, vectors = torch.linalg.eigh(whole)
    kept = values.amax(dim=0) > torch.finfo(values.dtype).eps * len(identity) * values.max()
    return vectors[:, :, kept] * values[:, kept].clamp(min=0.0).sqrt().unsqueeze(1)
