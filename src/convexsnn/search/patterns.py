"""Columns of a search as they are kept, 0/1 patterns at one bit an entry, and as tensors of one column a row."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.columns import BitColumns, RealColumns, unpack_bits

Kept = BitColumns | RealColumns
"""0/1 columns, or those of a readout over time."""


def kept(patterns: Tensor) -> Kept:
    """Columns as they are kept, from a bool or float64 tensor of shape (P, rows)."""
    if patterns.dtype is torch.bool:
        return BitColumns.of(patterns)
    return RealColumns(patterns)


def patterns_of(columns: Kept) -> Tensor:
    """Inverse of `kept`."""
    return unpack_bits(columns.packed, columns.n) > 0 if isinstance(columns, BitColumns) else columns.values


def stored(columns: Kept) -> Tensor:
    """The tensor in which columns are kept, of which equal rows are equal columns."""
    return columns.packed if isinstance(columns, BitColumns) else columns.values


def rebuilt(tensor: Tensor, n: int) -> Kept:
    """Columns of `n` rows from the tensor in which they are kept."""
    return BitColumns(tensor, n) if tensor.dtype is torch.uint8 else RealColumns(tensor)


def side_by_side(first: Kept, second: Kept) -> Kept:
    """The columns of both."""
    return rebuilt(torch.cat([stored(first), stored(second)]), first.shape[0])
