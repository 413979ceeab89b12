"""Columns in use, and their products with the curvature between them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convexsnn.columns import Columns
from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.active_set.coupled.table_hessian import TableHessian
from convexsnn.solvers.active_set.gram import entries_between, row_blocks
from convexsnn.solvers.active_set.picked import Picked, PickedColumns

# Up to so many numbers, products are in float64: they cost little there.
SMALL_ENTRIES = 2**18
# Up to so many numbers stay unpacked. Beyond, a block of rows is picked and unpacked for each product. Bits are
# unpacked in cache as fast as floats are read from memory, other columns are not.
UNPACKED_BITS, UNPACKED_NUMBERS = 2**24, 2**25
# Up to so many bytes, 0/1 columns are also kept eight to a byte, for products with them.
GROUPED_BYTES = 2**25

OfBlock = Callable[[Tensor, slice], Tensor]
"""What is computed from the entries of some rows, a row a column (k, rows), and from the range of these rows."""


class UnpackedColumns:
    """A few `chosen` columns. 0/1 columns on many rows are multiplied in float32, where each of them is exact.

    Where rows are spread over ranks, each rank multiplies its own rows.

    Attributes
    ----------
    dtype : torch.dtype
        Of the products.
    ranks : Ranks
    by_tables : bool
        Whether products are by tables. They are fastest with a curvature that lies row by row in memory.
    whole : Columns or PickedColumns
        The same columns with all rows, on every rank; 0/1 columns at one bit an entry.
    """

    def __init__(self, columns: Columns, chosen: Tensor) -> None:
        n, count = columns.shape[0], len(chosen)
        small = n * count <= SMALL_ENTRIES or not columns.binary
        self.dtype, self.ranks = torch.float64 if small else torch.float32, columns.ranks
        self.by_tables = not small and columns.device.type == "cpu" and n * count // 8 <= GROUPED_BYTES
        self._tables = dict[int, TableHessian]()
        kept = n * count <= (UNPACKED_BITS if columns.binary else UNPACKED_NUMBERS)
        self._columns, self._chosen = columns, None if kept else chosen
        self.whole: Picked = PickedColumns(columns, chosen)
        if kept or self.ranks.size > 1:
            taken = columns.take(chosen)
            if kept:
                self._columns = taken if self.by_tables else taken.floats(self.dtype)
            self.whole = (taken if columns.binary else self._columns).between(0, n)

    def summed(self, of_block: OfBlock, zero: Tensor) -> Tensor:
        """The sum over blocks of rows of what `of_block` makes of each, of the shape and type of `zero`."""

        def of_part(part: Columns, rows: slice) -> Tensor:
            total = torch.zeros_like(zero)
            picked = self._picked(part)
            for block in row_blocks(*picked.shape):
                entries = entries_between(picked, block, self.dtype)
                total += of_block(entries, slice(rows.start + block.start, rows.start + block.stop))
            return total

        return self._columns.over_rows(of_part, zero)

    def hessian(self, curvature: RowMatrices, X: Tensor) -> Tensor:
        """D^T h(D X) in float64, for X of shape (k, C) and h, a matrix a row in `dtype`."""
        X = X.to(self.dtype)
        if self.by_tables:
            of_part = lambda part, rows: self._table_of(part, rows).product(curvature.rows(rows), X)  # noqa: E731
            return self._columns.over_rows(of_part, X).to(torch.float64)

        def of_block(entries: Tensor, rows: slice) -> Tensor:
            return entries @ curvature.rows(rows).apply((X.T @ entries).T)

        return self.summed(of_block, X).to(torch.float64)

    def _table_of(self, part: Columns, rows: slice) -> TableHessian:
        """The product with some rows of the columns by tables, which is kept."""
        if rows.start not in self._tables:
            self._tables[rows.start] = TableHessian(self._picked(part))
        return self._tables[rows.start]

    def _picked(self, part: Columns) -> Picked:
        """The chosen columns of a part of what is kept."""
        return part if self._chosen is None else PickedColumns(part, self._chosen)
