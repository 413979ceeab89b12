"""The product D^T diag(h) D over a few columns, made of blocks of rows and of tiles of columns."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.rowwise import blocks_of_entries
from convexsnn.solvers.active_set.picked import Picked

# Entries that are unpacked at a time, and columns of a tile: nearly half of a symmetric matrix is left out.
BLOCK_ENTRIES, TILE_COLUMNS = 2**21, 256


def row_blocks(n: int, columns: int) -> list[slice]:
    """The rows from 0 to n, as many at a time as are unpacked together."""
    return blocks_of_entries(n, columns, BLOCK_ENTRIES)


def entries_between(columns: Picked, rows: slice, dtype: torch.dtype) -> Tensor:
    """The entries of some rows, a row a column: shape (k, rows)."""
    return columns.between(rows.start, rows.stop).dense(dtype).T


def tiles(count: int, begin: int = 0) -> list[tuple[slice, slice]]:
    """Tiles of a symmetric matrix of that size, on and below the diagonal, that hold its rows from `begin` on."""
    return [
        (slice(start, stop), slice(other, min(other + TILE_COLUMNS, stop)))
        for start in range(begin, count, TILE_COLUMNS)
        for stop in [min(count, start + TILE_COLUMNS)]
        for other in range(0, stop, TILE_COLUMNS)
    ]


def area(tile: tuple[slice, slice]) -> float:
    """How many entries a tile has."""
    rows, columns = tile
    return float((rows.stop - rows.start) * (columns.stop - columns.start))


def put_tile(matrix: Tensor, tile: tuple[slice, slice], part: Tensor) -> None:
    """Write a tile into a symmetric matrix, on both sides of its diagonal."""
    rows, columns = tile
    matrix[rows, columns] = part
    matrix[columns, rows] = part.T


def weighted_gram(left: Picked, right: Picked, h: Tensor, least: float = -1.0) -> Tensor:
    """D_1^T diag(h) D_2 in the arithmetic of h (n,), for columns of which all rows are here; shape (k_1, k_2).

    Rows whose h is at most `least` are left out where more than half of a block are such.
    """
    same = left is right
    total = h.new_zeros(left.shape[1], right.shape[1])
    for rows in row_blocks(len(h), left.shape[1] if same else left.shape[1] + right.shape[1]):
        own, first = h[rows], entries_between(left, rows, h.dtype)
        second = first if same else entries_between(right, rows, h.dtype)
        kept = torch.nonzero(own > least).flatten()
        if 2 * len(kept) < len(own):
            own, first = own[kept], first.index_select(1, kept)
            second = first if same else second.index_select(1, kept)
        total.addmm_(first * own, second.T)
    return total
