"""Functions of many rows, computed block of rows by block, so that what they make on the way stays small."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# Rows of a block.
ROWS = 2**16


def blocks_of_rows(n: int) -> list[slice]:
    """The rows from 0 to n, some at a time; one block of none where there are none."""
    return [slice(start, min(n, start + ROWS)) for start in range(0, max(1, n), ROWS)]


def blocks_of_entries(n: int, width: int, most: int) -> list[slice]:
    """The rows from 0 to n, `width` numbers each, in blocks of about `most` numbers and of a multiple of 8 rows."""
    size = max(8, most // max(1, width) // 8 * 8)
    return [slice(start, min(n, start + size)) for start in range(0, n, size)]


class GroupBlock(NamedTuple):
    """Some groups, with all of their rows.

    Attributes
    ----------
    rows : slice, or int64 tensor of shape (k,)
        Which rows these are.
    groups : int64 tensor of shape (k,)
        The group of each, numbered from 0.
    size : int
        How many groups there are.
    """

    rows: slice | Tensor
    groups: Tensor
    size: int


def blocks_of_groups(groups: Tensor) -> list[GroupBlock]:
    """All groups of `groups` (n,) in order, a block of them at a time, so that what is computed of them stays small."""
    count = int(groups.max()) + 1
    blocks = blocks_of_rows(count)
    if len(blocks) == 1:
        return [GroupBlock(slice(0, len(groups)), groups, count)]
    order = None if bool((groups[1:] >= groups[:-1]).all()) else groups.argsort(stable=True)
    ordered = groups if order is None else groups[order]
    ends = torch.searchsorted(ordered, torch.tensor([block.stop for block in blocks])).tolist()
    found = []
    for block, start, stop in zip(blocks, [0, *ends[:-1]], ends, strict=True):
        rows = slice(start, stop) if order is None else order[start:stop]
        found.append(GroupBlock(rows, ordered[start:stop] - block.start, block.stop - block.start))
    return found


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


def with_rows(values: Tensor, of_rows: Callable[[slice], Tensor]) -> Tensor:
    """`by_rows` where most often nothing changes: `values` themselves, not a copy, where no row is another."""
    out = values
    for rows in blocks_of_rows(len(values)):
        changed = of_rows(rows)
        if not torch.equal(changed, values[rows]):
            out = values.clone() if out is values else out
            out[rows] = changed
    return out
