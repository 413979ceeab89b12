"""Cells of an arrangement as cones of integer rays, cut by one hyperplane after the other without rounding.

A cell is the set of p with a.p >= 0 for some forms and b.p < 0 for others. Its closure is a cone, kept as rays (and
lines, which it contains in both directions) by the double description method; the cell is not empty if and only if no
strict form is 0 on all rays, as then the sum of the rays lies in it.

References
----------
T. Motzkin, H. Raiffa, G. Thompson, R. Thrall 1953; K. Fukuda and A. Prodon, Double description method revisited, 1996.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

Ray = tuple[int, ...]


@dataclass(frozen=True)
class Cone:
    """A cell that is not empty.

    Attributes
    ----------
    lines : tuple of rays
        Directions in which the cone has no end on either side.
    rays : tuple of rays
        Extreme rays of what is left.
    zeros : tuple of int
        For each ray the set of forms that are 0 on it, as bits.
    strict : int
        The set of forms that must not be 0, as bits.
    forms : int
        How many forms there are.
    """

    lines: tuple[Ray, ...]
    rays: tuple[Ray, ...] = ()
    zeros: tuple[int, ...] = ()
    strict: int = 0
    forms: int = 0

    @classmethod
    def whole(cls, r: int) -> Cone:
        """All of space."""
        return cls(tuple(tuple(int(j == k) for j in range(r)) for k in range(r)))

    def cut(self, form: Ray) -> tuple[Cone | None, Cone | None]:
        """The part with form.p >= 0 and that with form.p < 0; None where there is none."""
        for k, line in enumerate(self.lines):
            if value := _dot(form, line):
                ahead = line if value > 0 else tuple(-entry for entry in line)
                return self._opened(form, ahead, self.lines[:k] + self.lines[k + 1 :])
        values = [_dot(form, ray) for ray in self.rays]
        low, high = min(values, default=0), max(values, default=0)
        if low >= 0 and high > 0:
            return self, None
        if high > 0:
            between = self._between(values)
            return self._side(values, 1, between), self._side(values, -1, between)
        return (self._face(values) if low < 0 else self), (self._below(values) if low < 0 else None)

    def above(self, form: Ray) -> Cone | None:
        """The part with form.p > 0."""
        return self.cut(tuple(-entry for entry in form))[1]

    def _opened(self, form: Ray, ahead: Ray, lines: tuple[Ray, ...]) -> tuple[Cone, Cone]:
        """Both sides of a form that a line crosses: all else is moved along the line until the form is 0."""
        scale, bit = _dot(form, ahead), 1 << self.forms
        moved = lambda ray: _combined(ray, scale, ahead, -_dot(form, ray))  # noqa: E731
        rays, zeros = tuple(map(moved, self.rays)), tuple(zero | bit for zero in self.zeros)
        lines, every = tuple(map(moved, lines)), bit - 1
        behind = tuple(-entry for entry in ahead)
        return (
            Cone(lines, (*rays, ahead), (*zeros, every), self.strict, self.forms + 1),
            Cone(lines, (*rays, behind), (*zeros, every), self.strict | bit, self.forms + 1),
        )

    def _between(self, values: list[int]) -> list[tuple[Ray, int]]:
        """Rays on which the form is 0, between each two adjacent rays on its two sides, and their sets of zeros."""
        bit, found = 1 << self.forms, []
        before = [k for k, value in enumerate(values) if value > 0]
        behind = [k for k, value in enumerate(values) if value < 0]
        for i in before:
            for j in behind:
                both = self.zeros[i] & self.zeros[j]
                if not any(both & zero == both for k, zero in enumerate(self.zeros) if k not in (i, j)):
                    found.append((_combined(self.rays[j], values[i], self.rays[i], -values[j]), both | bit))
        return found

    def _side(self, values: list[int], sign: int, between: list[tuple[Ray, int]]) -> Cone:
        bit = 1 << self.forms
        kept = [
            (ray, zero if value else zero | bit)
            for ray, zero, value in zip(self.rays, self.zeros, values, strict=True)
            if sign * value >= 0
        ]
        rays, zeros = zip(*kept, *between, strict=True)
        return Cone(self.lines, rays, zeros, self.strict | (bit if sign < 0 else 0), self.forms + 1)

    def _face(self, values: list[int]) -> Cone | None:
        """The part on which a form that is nowhere positive is 0."""
        kept = [k for k, value in enumerate(values) if value == 0]
        common = self.strict
        for k in kept:
            common &= self.zeros[k]
        if common:
            return None
        return replace(self, rays=tuple(self.rays[k] for k in kept), zeros=tuple(self.zeros[k] for k in kept))

    def _below(self, values: list[int]) -> Cone:
        """The part on which a form that is nowhere positive is not 0."""
        bit = 1 << self.forms
        zeros = tuple(zero if value else zero | bit for zero, value in zip(self.zeros, values, strict=True))
        return replace(self, zeros=zeros, strict=self.strict | bit, forms=self.forms + 1)


def _dot(form: Ray, ray: Ray) -> int:
    return sum(map(int.__mul__, form, ray))


def _combined(a: Ray, s: int, b: Ray, t: int) -> Ray:
    """S * a + t * b over the greatest common divisor of its entries."""
    mixed = [s * x + t * y for x, y in zip(a, b, strict=True)]
    divisor = math.gcd(*mixed)
    return tuple(entry // divisor for entry in mixed) if divisor > 1 else tuple(mixed)
