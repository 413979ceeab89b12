"""Columns in use as floats, and their products."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.columns import Columns, RealColumns
from convexsnn.sharded import ShardedColumns

# Up to so many numbers, products are in float64: they cost little there.
SMALL_ENTRIES = 2**18
# Up to so many numbers stay unpacked; beyond, they are unpacked for each product, block by block.
UNPACKED_ENTRIES = 2**27


class UnpackedColumns:
    """A few columns of a dictionary. 0/1 columns on many rows are multiplied in float32, where each of them is exact.

    Where rows are spread over ranks, every rank has all rows of these few, and products are still shared.

    Attributes
    ----------
    dtype : torch.dtype
        Of the products.
    ranks : Ranks
    """

    def __init__(self, columns: Columns) -> None:
        n, count = columns.shape
        small = n * count <= SMALL_ENTRIES or not columns.binary
        self.dtype, self.ranks = torch.float64 if small else torch.float32, columns.ranks
        self._columns, self._whole = columns, columns.between(0, n)
        # One row a column.
        self._kept = self._whole.dense(self.dtype).T.contiguous() if n * count <= UNPACKED_ENTRIES else None
        # Products are made of this; without it, of the columns, which may be spread over ranks.
        self._factor = None if isinstance(columns, ShardedColumns) else self._kept
        if isinstance(columns, ShardedColumns) and self._kept is not None:
            self._columns = columns.holding(RealColumns(self._kept))

    def matmul(self, X: Tensor) -> Tensor:
        """D X for X of shape (k, C), in `dtype`; shape (n, C), laid out output by output."""
        X = X.to(self.dtype)
        if self._factor is not None:
            return (X.T @ self._factor).T
        return self._columns.matmul(X).T.contiguous().T

    def rmatmul(self, U: Tensor) -> Tensor:
        """D^T U in float64, for U of shape (n, C) in `dtype`."""
        if self._factor is not None:
            return (self._factor @ U).to(torch.float64)
        return self._columns.rmatmul(U).to(torch.float64)

    def rows(self, index: Tensor) -> Tensor:
        """The columns named by `index`, as rows (len(index), n) in `dtype`."""
        if self._kept is None:
            return self._whole.take(index).dense(self.dtype).T
        return self._kept if len(index) == len(self._kept) else self._kept[index]
