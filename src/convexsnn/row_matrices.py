"""One small symmetric matrix a row: the form of a loss's Hessian, and of the inverse Jacobian of a proximal map."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RowMatrices(NamedTuple):
    """A symmetric C x C matrix a row, as a diagonal less matrices of rank one on disjoint blocks of the outputs.

    Attributes
    ----------
    diagonal : tensor of shape (rows, C)
    vector : tensor of shape (rows, C), optional
        Row i stands for diag(diagonal_i) - sum_b v_ib v_ib^T, with v_ib the vector_i on block b and zero elsewhere.
    blocks : tuple of range
        The blocks in order, together all outputs; () is one block of all.
    """

    diagonal: Tensor
    vector: Tensor | None = None
    blocks: tuple[range, ...] = ()

    def rows(self, some: slice) -> RowMatrices:
        """The matrices of some rows."""
        return self._replace(diagonal=self.diagonal[some], vector=None if self.vector is None else self.vector[some])

    @property
    def own(self) -> Tensor:
        """The diagonal entries of the matrices, shape (rows, C)."""
        return self.diagonal if self.vector is None else self.diagonal - self.vector**2

    def own_of(self, output: int) -> Tensor:
        """A copy of those of one output, shape (rows,), which keeps nothing of the others in memory."""
        own = self.diagonal[:, output]
        return own.clone() if self.vector is None else own - self.vector[:, output] ** 2

    def apply(self, X: Tensor) -> Tensor:
        """Row i of the result is the matrix of row i times X_i, for X of shape (rows, C)."""
        diagonal, vector, blocks = self
        out = diagonal * X
        if vector is None:
            return out
        products = vector * X
        if not blocks:
            return out - vector * products.sum(dim=1, keepdim=True)
        parts = products.split([len(block) for block in blocks], dim=1)
        return out - vector * torch.cat([part.sum(dim=1, keepdim=True).expand_as(part) for part in parts], dim=1)
