"""Columns in use, and their products with the curvature between them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convexsnn.columns import Columns
from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.active_set.gram import entries_between, row_blocks

# Up to so many numbers, products are in float64: they cost little there.
SMALL_ENTRIES = 2**18
# Up to so many numbers stay unpacked. Beyond, a block of rows is unpacked for each product: bits are unpacked in cache
# as fast as floats are read from memory, other columns are not.
UNPACKED_BITS, UNPACKED_NUMBERS = 2**24, 2**25


OfBlock = Callable[[Tensor, slice], Tensor]
"""What is computed from the entries of some rows, a row a column (k, rows), and from the range of these rows."""


class UnpackedColumns:
    """A few columns of a dictionary. 0/1 columns on many rows are multiplied in float32, where each of them is exact.

    Where rows are spread over ranks, each rank multiplies its own rows.

    Attributes
    ----------
    dtype : torch.dtype
        Of the products.
    ranks : Ranks
    whole : Columns
        The same columns with all rows, on every rank; 0/1 columns at one bit an entry.
    """

    def __init__(self, columns: Columns) -> None:
        n, count = columns.shape
        small = n * count <= SMALL_ENTRIES or not columns.binary
        self.dtype, self.ranks = torch.float64 if small else torch.float32, columns.ranks
        kept = n * count <= (UNPACKED_BITS if columns.binary else UNPACKED_NUMBERS)
        self._columns = columns.floats(self.dtype) if kept else columns
        self.whole = (columns if columns.binary else self._columns).between(0, n)

    def summed(self, of_block: OfBlock, zero: Tensor) -> Tensor:
        """The sum over blocks of rows of what `of_block` makes of each, of the shape and type of `zero`."""

        def of_part(part: Columns, rows: slice) -> Tensor:
            total = torch.zeros_like(zero)
            for block in row_blocks(*part.shape):
                entries = entries_between(part, block, self.dtype)
                total += of_block(entries, slice(rows.start + block.start, rows.start + block.stop))
            return total

        return self._columns.over_rows(of_part, zero)

    def hessian(self, curvature: RowMatrices, X: Tensor) -> Tensor:
        """D^T h(D X) in float64, for X of shape (k, C) and h, a matrix a row in `dtype`."""
        X = X.to(self.dtype)

        def of_block(entries: Tensor, rows: slice) -> Tensor:
            return entries @ curvature.rows(rows).apply((X.T @ entries).T)

        return self.summed(of_block, X).to(torch.float64)
