"""Columns in use as floats, and their products."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.columns import BitColumns, Columns

# Up to so many numbers, products are in float64: they cost little there.
SMALL_ENTRIES = 2**18
# Up to so many numbers stay unpacked; beyond, they are unpacked for each product, block by block.
UNPACKED_ENTRIES = 2**27


class UnpackedColumns:
    """A few columns of a dictionary. 0/1 columns on many rows are multiplied in float32, where each of them is exact.

    Attributes
    ----------
    dtype : torch.dtype
        Of the products.
    """

    def __init__(self, columns: Columns) -> None:
        n, count = columns.shape
        small = n * count <= SMALL_ENTRIES or not isinstance(columns, BitColumns)
        self.dtype = torch.float64 if small else torch.float32
        self._columns = columns
        # One row a column.
        self._kept = columns.dense(self.dtype).T.contiguous() if n * count <= UNPACKED_ENTRIES else None

    def matmul(self, X: Tensor) -> Tensor:
        """D X for X of shape (k, C), in `dtype`; shape (n, C), laid out output by output."""
        X = X.to(self.dtype)
        return self._columns.matmul(X).T.contiguous().T if self._kept is None else (X.T @ self._kept).T

    def rmatmul(self, U: Tensor) -> Tensor:
        """D^T U in float64, for U of shape (n, C) in `dtype`."""
        product = self._columns.rmatmul(U) if self._kept is None else self._kept @ U
        return product.to(torch.float64)

    def rows(self, index: Tensor) -> Tensor:
        """The columns named by `index`, as rows (len(index), n) in `dtype`."""
        if self._kept is None:
            return self._columns.take(index).dense(self.dtype).T
        return self._kept if len(index) == len(self._kept) else self._kept[index]
