"""Functions of many rows, computed block of rows by block, so that what they make on the way stays small."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# Rows of a block.
ROWS = 2**16


def blocks_of_rows(n: int) -> list[slice]:
    """The rows from 0 to n, some at a time; one block of none where there are none."""
    return [slice(start, min(n, start + ROWS)) for start in range(0, max(1, n), ROWS)]


def by_rows(of_rows: Callable[[slice], Tensor], n: int) -> Tensor:
    """What `of_rows` makes of each range of rows, a row a row, one below the other."""
    blocks = blocks_of_rows(n)
    first = of_rows(blocks[0])
    if len(blocks) == 1:
        return first
    out = first.new_empty(n, *first.shape[1:])
    out[blocks[0]] = first
    for rows in blocks[1:]:
        out[rows] = of_rows(rows)
    return out


def change_rows(values: Tensor, of_rows: Callable[[slice], Tensor]) -> None:
    """Put what `of_rows` makes of each range of rows in the place of these rows of `values`."""
    for rows in blocks_of_rows(len(values)):
        values[rows] = of_rows(rows)
