"""Floats as integers times powers of two, and back."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[Any]
"""Python integers of any size (or Fractions, where it is said): arrays of dtype object."""

# Bits of the significand of a float64.
BITS = 53


def as_integers(values: Floats) -> tuple[Integers, int]:
    """Integers k and an exponent e with values == k * 2**e exactly; e is the largest that there is (0 for zeros).

    Raises
    ------
    ValueError
        When a value is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("values must be finite")
    fractions, exponents = np.frexp(values)
    odd = np.ldexp(fractions, BITS).astype(np.int64)
    used = odd != 0
    if not used.any():
        return np.zeros(values.shape, dtype=object), 0
    # The lowest bit that is set divides each significand.
    lowest = np.where(used, odd & -odd, 1)
    odd = odd // lowest
    places = exponents.astype(np.int64) - BITS + np.log2(lowest).astype(np.int64)
    exponent = int(places[used].min())
    shifts = np.where(used, places - exponent, 0)
    return _as_objects(odd) * (2 ** _as_objects(shifts)), exponent


def with_shared_unit(values: Floats) -> tuple[Integers, NDArray[np.int64]]:
    """Integers k and exponents e (d,) with values == k * 2**e exactly, one exponent for each place of the last axis."""
    parts = [as_integers(values[..., j]) for j in range(values.shape[-1])]
    exponents = np.array([exponent for _, exponent in parts], dtype=np.int64)
    integers = np.empty(values.shape, dtype=object)
    for j, (part, _) in enumerate(parts):
        integers[..., j] = part
    return integers, exponents


def as_fractions(values: Floats) -> Integers:
    """The floats as Fractions, in an array of dtype object."""
    exact = np.empty(values.shape, dtype=object)
    exact.ravel()[:] = [Fraction(value) for value in values.ravel().tolist()]
    return exact


def sign_of(values: Integers) -> NDArray[np.int8]:
    """-1, 0 or 1 for each integer."""
    return (values > 0).astype(np.int8) - (values < 0).astype(np.int8)


def bit_length(values: Integers) -> int:
    """Bits of the largest of integers, in size; 0 of zeros."""
    return max((abs(value).bit_length() for value in values.ravel().tolist()), default=0)


def _as_objects(values: NDArray[np.int64]) -> Integers:
    return values.astype(object)
