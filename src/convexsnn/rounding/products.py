"""Products with a dictionary as unevaluated sums of two floats.

Both factors are cut into slices of few bits. Every sum in a product of slices is then an integer multiple of one power
of two, and this integer is below 2**53. So the product is exact in any order of summation, and on any number of
threads. The products of slices are added with their rounding errors kept.

References
----------
Ozaki, Ogita, Oishi, Rump: Error-free transformations of matrix multiplication, Numerical Algorithms 59 (2012).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.columns import Columns
from convexsnn.errorfree import DEPTH, UNIT, limbs, two_sum


@dataclass(frozen=True)
class Product:
    """A matrix within `error` of head + tail, entry by entry; all float64 and of one shape."""

    head: Tensor
    tail: Tensor
    error: Tensor

    def plus(self, other: Product) -> Product:
        """The sum of two."""
        return Product(self.head, self.tail + other.head, self.error + other.tail.abs() + other.error)

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


def largest_of(values: Tensor) -> float:
    """The largest absolute entry; 0 where there is none."""
    return max(abs(float(values.min())), abs(float(values.max()))) if values.numel() else 0.0


def exact_sums(values: Tensor, groups: Tensor, largest: float) -> Product:
    """The sums of the rows of `values` (n, C) over each group of `groups` (n,): shape (number of groups, C).

    `largest` is at least every absolute entry.
    """
    values = values.to(torch.float64)
    head = values.new_zeros(int(groups.max()) + 1, values.shape[1])
    tail = torch.zeros_like(head)
    if largest == 0.0:
        return Product(head, tail, tail.clone())
    for limb, _ in limbs(values, largest, 52 - len(values).bit_length()):
        head, lost = two_sum(head, torch.zeros_like(head).index_add_(0, groups, limb))
        tail += lost
    return Product(head, tail, torch.full_like(head, largest * len(values) * 2.0 ** (8 - DEPTH)))


def _sum_of_slices(
    columns: Columns, factor: Tensor, terms: int, rows: int, times: Callable[[Columns, Tensor], Tensor]
) -> Product:
    """The sum of the products of all slices, `terms` products an entry."""
    factor = factor.to(torch.float64)
    head = factor.new_zeros(rows, factor.shape[1])
    tail, error = torch.zeros_like(head), head.new_zeros(()).expand_as(head)
    largest = largest_of(factor)
    if largest == 0.0:
        return Product(head, tail, error)
    spare = 52 - max(1, terms).bit_length()
    for weight, part, bits, above in columns.slices(spare // 2):
        for limb, place in limbs(factor, largest, spare - bits):
            if place + above > DEPTH:
                break
            scaled = times(part, limb).mul_(weight)
            # A weight that is no power of two rounds once.
            if math.frexp(weight)[0] != 0.5:
                error = error + scaled.abs() * (2.0 * UNIT)
            head, lost = two_sum(head, scaled)
            tail += lost
    reach = columns.largest * largest * terms
    return Product(head, tail, error + reach * 2.0 ** (8 - DEPTH))
