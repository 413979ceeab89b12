"""Products with a dictionary as unevaluated sums of two floats.

Both factors are cut into slices of so few bits that every sum in a product of slices is an integer multiple of one
power of two below 2**53 of it: then the product is exact in any order of summation, so on any number of threads. The
slices' products are added with their rounding errors kept.

References
----------
Ozaki, Ogita, Oishi, Rump: Error-free transformations of matrix multiplication, Numerical Algorithms 59 (2012).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.columns import Columns
from convexsnn.errorfree import UNIT, two_sum

# Bits below the largest entry that slices keep.
DEPTH = 90


@dataclass(frozen=True)
class Product:
    """A matrix within `error` of head + tail, entry by entry; all float64 and of one shape."""

    head: Tensor
    tail: Tensor
    error: Tensor

    @property
    def size(self) -> Tensor:
        """An upper bound of the absolute value of each entry."""
        return (self.head + self.tail).abs() * (1.0 + 4.0 * UNIT) + self.error


def exact_product(columns: Columns, W: Tensor) -> Product:
    """D W for weights W of shape (P, C): shape (n, C)."""
    n, count = columns.shape
    return _sum_of_slices(columns, W, count, n, lambda part, limb: part.matmul(limb))


def exact_transposed(columns: Columns, U: Tensor) -> Product:
    """D^T U for U of shape (n, C): shape (P, C)."""
    n, count = columns.shape
    return _sum_of_slices(columns, U, n, count, lambda part, limb: part.rmatmul(limb))


def _sum_of_slices(
    columns: Columns, factor: Tensor, terms: int, rows: int, times: Callable[[Columns, Tensor], Tensor]
) -> Product:
    """The sum of the products of all slices, `terms` products an entry."""
    factor = factor.to(torch.float64)
    head = factor.new_zeros(rows, factor.shape[1])
    tail, error = torch.zeros_like(head), torch.zeros_like(head)
    largest = float(factor.abs().max()) if factor.numel() else 0.0
    if largest == 0.0:
        return Product(head, tail, error)
    spare = 52 - max(1, terms).bit_length()
    for weight, part, bits, above in columns.slices(spare // 2):
        for limb, place in _limbs(factor, largest, spare - bits):
            if place + above > DEPTH:
                break
            product = times(part, limb)
            scaled = weight * product
            # A weight that is no power of two rounds once.
            if math.frexp(weight)[0] != 0.5:
                error += scaled.abs() * (2.0 * UNIT)
            head, lost = two_sum(head, scaled)
            tail += lost
    reach = columns.largest * largest * terms
    return Product(head, tail, error + reach * 2.0 ** (8 - DEPTH))


def _limbs(factor: Tensor, largest: float, bits: int) -> Iterator[tuple[Tensor, int]]:
    """Slices of `bits` bits that sum to `factor` but for what lies DEPTH bits below its largest entry."""
    rest, exponent = factor, math.frexp(largest)[1]
    for place in range(0, DEPTH, bits):
        unit = math.ldexp(1.0, max(-1000, exponent - place - bits))
        limb = torch.round(rest / unit) * unit
        rest = rest - limb
        yield limb, place
        if not rest.any():
            return
