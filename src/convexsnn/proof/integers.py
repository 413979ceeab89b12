"""Exact integer arithmetic on float64 data: every float64 is an integer over a power of two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

# Integers below 2**53 are float64 numbers, so a sum of integers that stays below it is exact in any order.
EXACT_BITS = 53
# Bits of the limbs of columns that are no 0/1 columns.
COLUMN_BITS = 20
# Entries of the columns that are held as floats at a time.
BLOCK_ENTRIES = 2**23


def to_integers(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Integers and the smallest shift with values == integers / 2**shift, exactly; of integers the shift is 0.

    Parameters
    ----------
    values : float array, finite

    Returns
    -------
    integers : object array of Python ints, of the same shape
    shift : int, at least 0
    """
    mantissa, exponent = np.frexp(np.asarray(values, dtype=np.float64))
    whole = np.ldexp(mantissa, EXACT_BITS).astype(np.int64)  # exact: 53 bits
    used = whole != 0
    spare = np.frexp((whole & -whole).astype(np.float64))[1].astype(np.int64) - 1  # factors of two in each
    whole, power = whole >> np.maximum(spare, 0), exponent.astype(np.int64) - EXACT_BITS + spare
    shift = max(0, -int(power[used].min())) if used.any() else 0
    out = np.zeros(whole.shape, dtype=object)
    for at in zip(*np.nonzero(used), strict=True):
        out[at] = int(whole[at]) << (int(power[at]) + shift)
    return out, shift


def integer_product(columns: np.ndarray, integers: np.ndarray) -> tuple[np.ndarray, int]:
    """`columns @ integers`, exactly.

    Both are split into limbs so short that every sum of their products is below 2**53. Each product of limbs is then
    one of float64 matrices, whose partial sums are all exact.

    Parameters
    ----------
    columns : bool or float64 array of shape (n, P), finite
        Of few different entries where they are real.
    integers : object array of Python ints, of shape (P, C)

    Returns
    -------
    product : object array of Python ints, of shape (n, C)
    shift : int
        The product is these integers over 2**shift.
    """
    n, count = columns.shape
    out = np.zeros((n, integers.shape[1]), dtype=object)
    used = np.array([any(row) for row in integers.tolist()], dtype=bool)
    bits = columns.dtype == np.bool_
    entries = np.array([0.0, 1.0]) if bits else np.unique(columns)
    table, shift = to_integers(entries)
    if not used.any() or not table.any():
        return out, shift
    width = min(COLUMN_BITS, int(abs(table).max()).bit_length())
    limb_bits = EXACT_BITS - 1 - int(used.sum()).bit_length() - width
    digits, limbs = list(_limbs(table, width)), list(_limbs(integers[used], limb_bits))
    size = max(1, BLOCK_ENTRIES // max(1, count))
    for start in range(0, n, size):
        block = columns[start : start + size, used]
        at = block.astype(np.intp) if bits else np.searchsorted(entries, block)
        for j, digit in enumerate(digits):
            own = digit[at]
            for k, limb in enumerate(limbs):
                product = (own @ limb).astype(np.int64).astype(object)
                out[start : start + size] += product << (j * width + k * limb_bits)
    return out, shift


def _limbs(integers: np.ndarray, limb_bits: int) -> Iterator[np.ndarray]:
    """Signed digits of base 2**limb_bits, the lowest first, as float64 arrays."""
    size: Any = abs(integers)  # of Python ints, which have bits
    negative = (integers < 0).astype(bool)
    mask = (1 << limb_bits) - 1
    while size.any():
        digit = (size & mask).astype(np.float64)
        yield np.where(negative, -digit, digit)
        size = size >> limb_bits


def floor_divide(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Floor of the quotient of object arrays of Python ints."""
    return np.asarray(numerators // denominators, dtype=object)
