"""The curvature of one output, as the blocks of the Hessian keep it: as it is, or rounded to integers of one byte."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from convexsnn.rowwise import blocks_of_rows
from convexsnn.solvers.active_set.gram import entries_between, row_blocks, weighted_gram
from convexsnn.solvers.active_set.picked import Picked

# The integer that stands for the largest h, and the part of the sum of h that rounding may change.
LARGEST, LOST = 127, 0.05
# Blocks of rows are as small as for so many columns: sums of up to 2^17 integers of at most 127 are below 2^24.
LEAST_COLUMNS = 16
# The processors that torch multiplies bytes fast on. Elsewhere it may be a plain loop.
FAST = "AVX512"


class BlockCurvature(Protocol):
    """Curvatures h of n rows, at least 0.

    Attributes
    ----------
    dtype : torch.dtype
        Of the curvatures, and of products.
    """

    @property
    def dtype(self) -> torch.dtype: ...
    def __len__(self) -> int: ...
    def of_rows(self, rows: slice) -> Tensor:
        """Those of some rows, in float64."""
        ...

    def gram(self, left: Picked, right: Picked) -> Tensor:
        """D_1^T diag(h) D_2 for columns of which all rows are here; shape (k_1, k_2)."""
        ...


@dataclass(frozen=True)
class PlainCurvature:
    """Curvatures h (n,) as they are."""

    h: Tensor

    @property
    def dtype(self) -> torch.dtype:
        """See `BlockCurvature`."""
        return self.h.dtype

    def __len__(self) -> int:
        return len(self.h)

    def of_rows(self, rows: slice) -> Tensor:
        """See `BlockCurvature`."""
        return self.h[rows].to(torch.float64)

    def gram(self, left: Picked, right: Picked) -> Tensor:
        """See `BlockCurvature`."""
        return weighted_gram(left, right, self.h)


@dataclass(frozen=True)
class RoundedCurvature:
    """Curvatures as a sum of numbers times int8 vectors, up to the part `LOST` of their sum: a quarter of the memory.

    One vector is most often enough. Where few rows outweigh all others, the next ones tell these others apart.

    Attributes
    ----------
    parts : list of (float, int8 tensor of shape (n,))
    dtype : torch.dtype
    """

    parts: list[tuple[float, Tensor]]
    dtype: torch.dtype

    @classmethod
    def of(cls, h: Tensor) -> RoundedCurvature:
        """From numbers (n,), at least 0."""
        found, enough = cls([], h.dtype), LOST * float(h.sum(dtype=torch.float64))
        unit, left = float(h.max()) / LARGEST if len(h) else 0.0, math.inf
        while left > enough:
            digits, left = torch.zeros_like(h, dtype=torch.int8), 0.0
            for rows in blocks_of_rows(len(h)) if unit > 0.0 else []:
                rest = h[rows].to(torch.float64)
                rest = rest - found.of_rows(rows) if found.parts else rest
                digits[rows] = rounded = (rest / unit).round()
                left += float((rest - unit * rounded).abs().sum())
            found.parts.append((unit, digits))
            unit /= LARGEST
        return found

    def __len__(self) -> int:
        return len(self.parts[0][1])

    def of_rows(self, rows: slice) -> Tensor:
        """See `BlockCurvature`; after rounding."""
        first, *others = (unit * digits[rows].to(torch.float64) for unit, digits in self.parts)
        return sum(others, start=first)

    def gram(self, left: Picked, right: Picked) -> Tensor:
        """See `BlockCurvature`; of 0/1 columns."""
        total = torch.zeros(left.shape[1], right.shape[1], dtype=self.dtype, device=left.device)
        for rows in row_blocks(left.shape[0], max(LEAST_COLUMNS, left.shape[1] + right.shape[1])):
            first = entries_between(left, rows, torch.int8)
            second = first if left is right else entries_between(right, rows, torch.int8)
            for unit, digits in self.parts:
                total += unit * _product(first * digits[rows], second.T).to(self.dtype)
        return total


def _product(left: Tensor, right: Tensor) -> Tensor:
    """The product of two int8 matrices, by bytes where the processor is fast at it, or by floats.

    Both are exact: a block of rows has so few that all sums are below 2^24.
    """
    in_bytes = getattr(torch, "_int_mm", None)
    if in_bytes is None or left.device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != FAST:
        return left.to(torch.float32) @ right.to(torch.float32)
    return in_bytes(left, right)
