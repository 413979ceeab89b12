"""Products with a dictionary as unevaluated sums of two floats.

Both factors are cut into slices of few bits. Every sum in a product of slices is then an integer multiple of one power
of two, and this integer is below 2**53. So the product is exact in any order of summation, and on any number of
threads. The products of slices are added with their rounding errors kept.

References
----------
Ozaki, Ogita, Oishi, Rump: Error-free transformations of matrix multiplication, Numerical Algorithms 59 (2012).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from convexsnn.columns import Columns, Slice
from convexsnn.errorfree import DEPTH, UNIT, largest_of, limbs, two_sum
from convexsnn.rowwise import blocks_of_rows


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
    used = torch.nonzero(W.any(dim=1)).flatten()
    if 2 * len(used) < len(W):
        columns, W = columns.take(used), W[used]
    n, count = columns.shape
    W = W.to(torch.float64)
    sums, largest, spare = _Sums(W.new_zeros(n, W.shape[1])), largest_of(W), _spare(count)
    if largest == 0.0:
        return sums.within(0.0)
    for weight, part, bits, above in columns.slices(spare // 2):
        for limb, place in limbs(W, largest, spare - bits):
            if place + above > DEPTH:
                break
            sums.add(part.matmul(limb), weight)
    return sums.within(columns.largest * largest * count)


def exact_transposed(columns: Columns, factors: Sequence[Tensor]) -> list[Product]:
    """D^T U for each of some U of shape (n, C): shape (P, C).

    Products with slices are exact, so it does not matter in which order those of blocks of rows are summed.
    """
    n, count = columns.shape
    wide = [U.to(torch.float64) for U in factors]
    zeros = [U.new_zeros(count, U.shape[1]) for U in wide]
    sums, largest, spare = [_Sums(zero) for zero in zeros], [largest_of(U) for U in wide], _spare(n)
    # All factors are multiplied by a slice before the next is made: to make one of real columns costs much.
    for slice_ in columns.slices(spare // 2) if any(largest) else []:
        for U, zero, own, most in zip(wide, zeros, sums, largest, strict=True):
            if most > 0.0:
                _add_transposed(own, slice_, partial(_limb_of, U, most, spare - slice_.bits), zero, spare)
    reach = columns.largest * n
    return [own.within(reach * most) for own, most in zip(sums, largest, strict=True)]


def _add_transposed(
    sums: _Sums, part: Slice, limb_of: Callable[[int, slice], Tensor | None], zero: Tensor, spare: int
) -> None:
    """Add the product of the transpose of a slice with each limb of a factor that counts."""
    for number, place in enumerate(range(0, DEPTH, spare - part.bits)):
        if place + part.place > DEPTH:
            break
        limb = partial(limb_of, number)
        sums.add(part.columns.over_rows(partial(_transposed, zero, limb), zero), part.weight)


def _limb_of(U: Tensor, largest: float, bits: int, number: int, rows: slice) -> Tensor | None:
    """The limb of that number of some rows of U; None where all of it lies in those before."""
    found = next(itertools.islice(limbs(U[rows], largest, bits), number, None), None)
    return None if found is None else found[0]


def _transposed(zero: Tensor, limb: Callable[[slice], Tensor | None], columns: Columns, rows: slice) -> Tensor:
    """D^T times a limb, over the rows of these columns, which have other numbers in the limb."""
    total = torch.zeros_like(zero)
    for block in blocks_of_rows(rows.stop - rows.start):
        part = limb(slice(rows.start + block.start, rows.start + block.stop))
        if part is not None:
            total += columns.between(block.start, block.stop).rmatmul(part)
    return total


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
        sums = torch.zeros_like(head).index_add_(0, groups, limb)
        for rows in blocks_of_rows(len(head)):
            head[rows], lost = two_sum(head[rows], sums[rows])
            tail[rows] += lost
    left_out = largest * len(values) * 2.0 ** (8 - DEPTH)
    return Product(head, tail, head.new_full((), left_out).expand_as(head))


class _Sums:
    """A sum of exact products, with what is lost in adding them."""

    def __init__(self, head: Tensor) -> None:
        """`head` is zero."""
        self.head, self._tail = head, torch.zeros_like(head)
        self._error: Tensor | float = 0.0

    def add(self, product: Tensor, weight: float) -> None:
        """Add weight times a product, which is changed."""
        product.mul_(weight)
        # A weight that is no power of two rounds once.
        if math.frexp(weight)[0] != 0.5:
            self._error = self._error + product.abs() * (2.0 * UNIT)
        self.head, lost = two_sum(self.head, product)
        self._tail += lost

    def within(self, reach: float) -> Product:
        """The sum, where terms left out are below a part of `reach`."""
        left_out = torch.full_like(self.head, reach * 2.0 ** (8 - DEPTH))
        return Product(self.head, self._tail, self._error + left_out)


def _spare(terms: int) -> int:
    """How many bits both factors may have together where so many products are summed."""
    return 52 - max(1, terms).bit_length()
