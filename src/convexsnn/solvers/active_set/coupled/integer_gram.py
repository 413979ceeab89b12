"""The product D^T diag(h) D of 0/1 columns, with h rounded to integers of one byte."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.columns import Columns
from convexsnn.solvers.active_set.gram import entries_between, row_blocks

# The integer that stands for the largest h, and the part of the sum of h that rounding may change.
LARGEST, LOST = 127, 0.05
# Blocks of rows are as small as for so many columns: sums of up to 2^17 integers of at most 127 are below 2^24.
LEAST_COLUMNS = 16
# The processors that torch multiplies bytes fast on. Elsewhere it may be a plain loop.
FAST = "AVX512"


def digits(h: Tensor) -> list[tuple[float, Tensor]]:
    """Curvatures h (n,), at least 0, as a sum of numbers times int8 vectors, up to the part `LOST` of its sum.

    One is most often enough. Where few rows outweigh all others, the next ones tell these others apart.
    """
    found, rest, unit = [], h.to(torch.float64), float(h.max()) / LARGEST if len(h) else 0.0
    enough = LOST * float(rest.sum())
    while float(rest.abs().sum()) > enough:
        digit = (rest / unit).round()
        found.append((unit, digit.to(torch.int8)))
        rest, unit = rest - unit * digit, unit / LARGEST
    return found


def integer_gram(left: Columns, right: Columns, h: list[tuple[float, Tensor]], dtype: torch.dtype) -> Tensor:
    """D_1^T diag(h) D_2 for 0/1 columns of which all rows are here, and h of `digits`; shape (k_1, k_2)."""
    total = torch.zeros(left.shape[1], right.shape[1], dtype=dtype, device=left.device)
    for rows in row_blocks(left.shape[0], max(LEAST_COLUMNS, left.shape[1] + right.shape[1])):
        first = entries_between(left, rows, torch.int8)
        second = first if left is right else entries_between(right, rows, torch.int8)
        for unit, digit in h:
            total += unit * _product(first * digit[rows], second.T).to(dtype)
    return total


def _product(left: Tensor, right: Tensor) -> Tensor:
    """The product of two int8 matrices, by bytes where the processor is fast at it, or by floats.

    Both are exact: a block of rows has so few that all sums are below 2^24.
    """
    in_bytes = getattr(torch, "_int_mm", None)
    if in_bytes is None or left.device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != FAST:
        return left.to(torch.float32) @ right.to(torch.float32)
    return in_bytes(left, right)
