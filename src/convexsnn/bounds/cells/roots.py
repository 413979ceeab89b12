"""Leaks at which cells change: roots of polynomials of integers, with signs beside and at them that are certain."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from convexsnn.bounds.cells.polynomials import WHOLE, sign_on
from convexsnn.rationals.polynomials import (
    Polynomial,
    derivative,
    divided,
    greatest_divisor,
    reduced,
    sign_at,
    sign_between,
    squarefree,
)

# Relative distances from a root found in float64 at which the polynomial may have other signs.
NEIGHBOURHOODS = (2.0**-30, 2.0**-24, 2.0**-40, 2.0**-20)
# Halvings of an interval around a root before its sign is given up.
HALVINGS = 60
BELOW, AT, ABOVE = -1, 0, 1


def certain_sign(p: Polynomial, a: float, b: float) -> int | None:
    """The sign of p on [a, b], or on (0, b] for a = 0; None where it changes, or is not told."""
    if not any(p):
        return 0
    if a == 0.0:  # x^k > 0 changes no sign
        p = p[next(k for k, entry in enumerate(p) if entry) :]
    if max(map(abs, p)) < WHOLE:
        row = np.array(p, dtype=np.float64)
        sign = sign_on(row, len(row), 0.0, a, b, np.empty(len(row)))
        return sign if abs(sign) == 1 else None
    return sign_between(p, Fraction(a), Fraction(b))


class Root:
    """One root of a polynomial, the only one of it between two floats.

    Attributes
    ----------
    m : Polynomial
        Of no double root.
    low, high : float
        The root lies between; they move towards it.
    """

    def __init__(self, m: Polynomial, low: float, high: float) -> None:
        self.m, self.low, self.high = m, low, high
        self._first = low, high
        self._signs: dict[tuple[Polynomial, int, float], int | None] = {}

    def sign(self, p: Polynomial, side: int, end: float = 0.0) -> int | None:
        """The sign of p at the root, or on all between it and `end`, open at the root; None as in `certain_sign`."""
        if not any(p):
            return 0
        key = (p, side, end)
        if key not in self._signs:
            self._signs[key] = self._at(p) if side == AT else self._beside(p, side, end)
        return self._signs[key]

    def keep_out(self, x: float) -> bool:
        """Narrow the interval until it excludes a float that is not the root; False where that fails."""
        for _ in range(HALVINGS):
            if not self.low <= x <= self.high:
                return True
            self._halve()
        return False

    def is_of(self, p: Polynomial) -> bool:
        """Whether p is 0 at the root."""
        return not any(p) or self._without(p)[0] > 0

    def _without(self, p: Polynomial) -> tuple[int, Polynomial]:
        """K and q with p = m^k q, where q is not 0 at the root; m loses the factors that this shows not to have it."""
        common = greatest_divisor(p, self.m)
        if len(common) < 2:
            return 0, p
        if len(common) < len(self.m):
            rest = divided(self.m, common)
            assert rest is not None
            low, high = map(Fraction, self._first)
            if sign_at(common, low) * sign_at(common, high) > 0:
                self.m = reduced(rest)
                return 0, p
            self.m = common
        k = 0
        while (quotient := divided(p, self.m)) is not None:
            p, k = quotient, k + 1
        return k, p

    def _at(self, p: Polynomial) -> int | None:
        k, q = self._without(p)
        if k:
            return 0
        for _ in range(HALVINGS):
            sign = certain_sign(q, self.low, self.high)
            if sign is not None:
                return sign
            self._halve()
        return None

    def _beside(self, p: Polynomial, side: int, end: float) -> int | None:
        k, q = self._without(p)
        m = self.m
        self._at(q)  # which narrows the interval until q has one sign there, and may shorten m
        sign = certain_sign(q, *sorted((end, self.high if side == BELOW else self.low)))
        if k % 2 == 0 or sign is None:
            return sign
        first = self._first[side == ABOVE]  # where m has the sign that it has up to the root
        near = (end >= first) if side == BELOW else (end <= first)
        own = sign_at(m, Fraction(first)) if near else certain_sign(m, *sorted((end, first)))
        return None if own is None else sign * own

    def _halve(self) -> None:
        for share in (0.5, 0.75):
            middle = share * self.low + (1.0 - share) * self.high
            sign = sign_at(self.m, Fraction(middle))
            if sign:
                break
        if sign == sign_at(self.m, Fraction(self._first[0])):
            self.low = middle
        else:
            self.high = middle


def inner_sign(p: Polynomial, a: float, b: float, root: Root | None) -> int | None:
    """The sign of p on [a, b]; where floats do not tell it, exactly, and at the root if one in [a, b] is given.

    A root of p may lie in [a, b], close to the given root. `Root.sign` narrows the interval until it is outside.
    """
    sign = certain_sign(p, a, b)
    if sign is not None:
        return sign
    return sign_between(p, Fraction(a), Fraction(b)) if root is None else root.sign(p, AT)


class Roots:
    """The roots met so far, each once, by their numbers."""

    def __init__(self) -> None:
        self._all: list[Root] = []
        self._of: dict[Polynomial, list[int]] = {}

    def __getitem__(self, number: int) -> Root:
        return self._all[number]

    def __len__(self) -> int:
        return len(self._all)

    def exactly(self, x: float) -> int:
        """The float x > 0 as a root."""
        fraction = Fraction(x)
        return self._number((-fraction.numerator, fraction.denominator), x * (1.0 - 2.0**-30), x * (1.0 + 2.0**-30))

    def between(self, p: Polynomial, a: float, b: float) -> list[int]:
        """Roots of p that were found in (a, b), which may be not all of them."""
        if p not in self._of:
            self._of[p] = self._found(p)
        inside = [k for k in self._of[p] if all(self._all[k].keep_out(end) for end in (a, b))]
        return [k for k in inside if a < self._all[k].low and self._all[k].high < b]

    def _found(self, p: Polynomial) -> list[int]:
        """Roots between 0 and 1 that float64 shows, each verified."""
        m = squarefree(p)
        if m[0] == 0:  # a root at 0
            m = m[1:]
        if len(m) < 2:
            return []
        largest = max(map(abs, m))
        near = np.roots([float(Fraction(entry, largest)) for entry in reversed(m)])
        numbers: dict[int, None] = {}
        for x in sorted(near.real[(np.abs(near.imag) < 1e-7) & (near.real > 0.0) & (near.real < 1.0)].tolist()):
            for share in NEIGHBOURHOODS:
                low, high = x * (1.0 - share), x * (1.0 + share)
                changes = sign_at(m, Fraction(low)) * sign_at(m, Fraction(high)) < 0
                if changes and certain_sign(derivative(m), low, high) is not None:
                    numbers[self._number(m, low, high)] = None
                    break
        return list(numbers)

    def _number(self, m: Polynomial, low: float, high: float) -> int:
        for k, other in enumerate(self._all):
            if other.low <= high and low <= other.high:
                common = greatest_divisor(m, other.m)
                if len(common) > 1:
                    ends = Fraction(max(low, other.low)), Fraction(min(high, other.high))
                    if sign_at(common, ends[0]) * sign_at(common, ends[1]) < 0:
                        return k
        self._all.append(Root(m, low, high))
        return len(self._all) - 1
