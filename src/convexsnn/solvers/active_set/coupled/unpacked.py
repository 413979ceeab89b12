"""Columns in use, and their products with the curvature between them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.bit_products import add_transposed, empty, first_sums, grouped, grouped_product
from convexsnn.columns import Columns
from convexsnn.row_matrices import RowMatrices
from convexsnn.rowwise import blocks_of_entries
from convexsnn.solvers.active_set.gram import entries_between, row_blocks
from convexsnn.solvers.active_set.picked import Picked, PickedColumns

# Up to so many numbers, products are in float64: they cost little there.
SMALL_ENTRIES = 2**18
# Up to so many numbers stay unpacked. Beyond, a block of rows is picked and unpacked for each product. Bits are
# unpacked in cache as fast as floats are read from memory, other columns are not.
UNPACKED_BITS, UNPACKED_NUMBERS = 2**24, 2**25
# Up to so many bytes, 0/1 columns are also kept eight to a byte, for products with them.
GROUPED_BYTES = 2**25
# So many rows of them at a time: as many as have products that stay in cache.
TABLE_ROWS = 2**12

Grouped = tuple[slice, NDArray[np.uint8]]
"""Rows, and their bytes."""

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
    whole : Columns or PickedColumns
        The same columns with all rows, on every rank; 0/1 columns at one bit an entry.
    """

    def __init__(self, columns: Columns, chosen: Tensor) -> None:
        n, count = columns.shape[0], len(chosen)
        small = n * count <= SMALL_ENTRIES or not columns.binary
        self.dtype, self.ranks = torch.float64 if small else torch.float32, columns.ranks
        by_tables = not small and columns.device.type == "cpu" and n * count // 8 <= GROUPED_BYTES
        self._grouped: dict[int, list[Grouped]] | None = {} if by_tables else None
        kept = n * count <= (UNPACKED_BITS if columns.binary else UNPACKED_NUMBERS)
        self._columns, self._chosen = columns, None if kept else chosen
        self.whole: Picked = PickedColumns(columns, chosen)
        if kept or self.ranks.size > 1:
            taken = columns.take(chosen)
            self._columns = taken.floats(self.dtype) if kept else columns
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
        X, known = X.to(self.dtype), self._grouped
        if known is not None:
            of_part = lambda part, rows: _turned(self._groups_of(part, rows, known), curvature.rows(rows), X)  # noqa: E731
            return self._columns.over_rows(of_part, X).to(torch.float64)

        def of_block(entries: Tensor, rows: slice) -> Tensor:
            return entries @ curvature.rows(rows).apply((X.T @ entries).T)

        return self.summed(of_block, X).to(torch.float64)

    def _groups_of(self, part: Columns, rows: slice, known: dict[int, list[Grouped]]) -> list[Grouped]:
        """Some rows of the columns, eight columns to a byte; what is made is kept in `known`."""
        if rows.start not in known:
            picked = self._picked(part)
            blocks = blocks_of_entries(picked.shape[0], 1, TABLE_ROWS)
            known[rows.start] = [(block, grouped(entries_between(picked, block, torch.uint8))) for block in blocks]
        return known[rows.start]

    def _picked(self, part: Columns) -> Picked:
        """The chosen columns of a part of what is kept."""
        return part if self._chosen is None else PickedColumns(part, self._chosen)


def _turned(groups: list[Grouped], curvature: RowMatrices, X: Tensor) -> Tensor:
    """D^T h(D X) of some rows, by tables."""
    total = empty(X.shape[0], X.shape[1], X.dtype)
    for rows, bytes_ in groups:
        add_transposed(bytes_, curvature.rows(rows).apply(grouped_product(bytes_, X)), total)
    return first_sums(total, X.shape[0], X.shape[1])
