"""The columns as the semismooth Newton solver sees them: scaled, as a rule to norm one."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.columns import Columns

# A dictionary is unpacked once when its float64 entries fit in this many bytes, else product by product.
DENSE_BYTES = 2**31


class ScaledColumns:
    """D diag(scale).

    Attributes
    ----------
    scale : float64 tensor of shape (P, 1)
        Weights of the program are ``scale`` times weights of the scaled columns.
    """

    def __init__(self, columns: Columns, scale: Tensor) -> None:
        n, count = columns.shape
        self._columns, self.scale = columns, scale
        fits = 0 < n * count * 8 <= DENSE_BYTES
        self._rows = {torch.float64: columns.dense().T * self.scale} if fits else {}

    def matmul(self, W: Tensor) -> Tensor:
        """``D diag(scale) @ W`` for a float64 `W` of shape (P, C)."""
        if not self._rows:
            return self._columns.matmul(self.scale * W)
        rows, used = self._rows[torch.float64], torch.nonzero(W.any(dim=1)).flatten()
        # Most weights are zero, and the rows of the others are soon gathered.
        if 2 * len(used) < len(W):
            rows, W = rows[used], W[used]
        return (W.T @ rows).T

    def rmatmul(self, U: Tensor) -> Tensor:
        """``diag(scale) D.T @ U`` for a float64 `U` of shape (n, C)."""
        if not self._rows:
            return self.scale * self._columns.rmatmul(U)
        return self._rows[torch.float64] @ U

    def rows(self, index: Tensor, dtype: torch.dtype) -> Tensor:
        """The columns named by `index`, as the rows of a (len(index), n) tensor of `dtype`."""
        if not self._rows:
            return self._columns.take(index).dense(dtype).T * self.scale[index].to(dtype)
        if dtype not in self._rows:
            self._rows[dtype] = self._rows[torch.float64].to(dtype)
        return self._rows[dtype][index]


def normalised(columns: Columns, row_weights: Tensor) -> ScaledColumns:
    """The columns, with norm one under the row weights.

    A proximal point step is a step in this metric, so the solver does not see the units of real-valued columns.
    """
    norms = columns.squares(row_weights).sqrt()
    return ScaledColumns(columns, torch.where(norms > 0.0, 1.0 / norms, 1.0).unsqueeze(1))
