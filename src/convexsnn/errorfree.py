"""Sums of floats whose rounding error is kept."""

from __future__ import annotations

from torch import Tensor

# The unit roundoff of float64.
UNIT = 2.0**-53


def two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The rounded sum and its rounding error, exactly (Knuth, The Art of Computer Programming 2, section 4.2.2)."""
    total = a + b
    seen = total - a
    return total, (a - (total - seen)) + (b - seen)
