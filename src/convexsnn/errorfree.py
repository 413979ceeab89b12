"""Floats as sums of shorter floats, and sums whose rounding error is kept."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

# The unit roundoff of float64.
UNIT = 2.0**-53
# Bits below the largest entry that limbs keep.
DEPTH = 90


def two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The rounded sum and its rounding error, exactly (Knuth, The Art of Computer Programming 2, section 4.2.2)."""
    total = a + b
    seen = total - a
    return total, (a - (total - seen)) + (b - seen)


def two_product(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The rounded product and its rounding error, exact while nothing over- or underflows (Dekker 1971)."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halves(a: Tensor) -> tuple[Tensor, Tensor]:
    """The upper and the lower 26 bits (Veltkamp)."""
    wide = a * (2.0**27 + 1.0)
    high = wide - (wide - a)
    return high, a - high


def largest_of(values: Tensor) -> float:
    """The largest absolute entry; 0 where there is none. No copy is made."""
    return max(abs(float(end)) for end in values.aminmax()) if values.numel() else 0.0


def limbs(values: Tensor, largest: float, bits: int) -> Iterator[tuple[Tensor, int]]:
    """Parts of `bits` bits that sum to `values` but for what lies DEPTH bits below `largest`, the highest part first.

    With each part comes its place: how many bits it lies below the first. Its entries are integers of that many bits
    times one power of two, so that sums of them are exact in any order while they are below 2^53 of it. All parts lie
    in one buffer: a part is valid until the next.
    """
    rest, limb, exponent = values.clone(), torch.empty_like(values), math.frexp(largest)[1]
    for place in range(0, DEPTH, bits):
        unit = math.ldexp(1.0, max(-1000, exponent - place - bits))
        torch.mul(rest, 1.0 / unit, out=limb).round_().mul_(unit)
        rest.sub_(limb)
        yield limb, place
        if not rest.any():
            return
