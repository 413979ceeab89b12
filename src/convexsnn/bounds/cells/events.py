"""Leaks at which cells change: roots of polynomials, told apart without rounding."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from convexsnn.bounds.cells.polynomials import sign_on, WHOLE
from convexsnn.rationals.polynomials import (
    Polynomial, derivative, divided, greatest_divisor, reduced, sign_at, sign_between, squarefree,
)

CLOSE = 2.0**-30


def certain_sign(p: Polynomial, a: float, b: float):
    """-1, 0, 1 on [a, b] ((0, b] for a = 0), or None."""
    if not p:
        return 0
    k = 0
    if a == 0.0:
        while p[k] == 0:
            k += 1
        p = p[k:]
    if max(map(abs, p)) < WHOLE:
        row = np.array(p, dtype=float)
        s = sign_on(row, len(row), 0.0, a, b, np.empty(len(row) + 1))
        return s if s in (-1, 1) else None
    return sign_between(p, Fraction(a), Fraction(b))


class Event:
    """A root of a polynomial, between two floats."""
    def __init__(self, m, low, high):
        self.m, self.low, self.high = m, low, high
        self.known = {}

    def divides(self, p):
        """(k, q) with p = m^k q, and q not zero at the root; refines m."""
        g = greatest_divisor(p, self.m)
        k = 0
        if len(g) > 1:
            if len(g) < len(self.m):
                a, b = sign_at(g, Fraction(self.low)), sign_at(g, Fraction(self.high))
                rest = divided(self.m, g) or divided(self.m, tuple(-e for e in g))
                if a * b < 0:
                    self.m = g
                else:
                    assert rest
                    self.m = reduced(rest)
                    return self.divides(p) if False else (0, p)
            while (q := divided(p, self.m)) is not None:
                p, k = q, k + 1
        return k, p

    def sign(self, p, side, a, b):
        """Of p on the part of [a, b] below, at or above the root (a or b is self.low/high)."""
        key = (p, side, a if side < 0 else b if side > 0 else 0.0)
        if key not in self.known:
            self.known[key] = self._sign(p, side, a, b)
        return self.known[key]

    def _sign(self, p, side, a, b):
        if not p:
            return 0
        k, q = self.divides(p)
        if side == 0:
            if k:
                return 0
            for _ in range(60):
                s = certain_sign(q, self.low, self.high)
                if s is not None:
                    return s
                self.halve()
            return None
        if side < 0:
            s = certain_sign(q, a, self.high)
            own = sign_at(self.m, Fraction(self.low)) if a >= self.low else certain_sign(self.m, a, self.low)
        else:
            s = certain_sign(q, self.low, b)
            own = sign_at(self.m, Fraction(self.high)) if b <= self.high else certain_sign(self.m, self.high, b)
        if s is None or (k % 2 and own is None):
            return None
        return s * own if k % 2 else s

    def halve(self):
        c = 0.5 * (self.low + self.high)
        s = sign_at(self.m, Fraction(c))
        if s == 0:
            c = 0.75 * self.low + 0.25 * self.high
            s = sign_at(self.m, Fraction(c))
        if s == sign_at(self.m, Fraction(self.low)):
            self.low = c
        else:
            self.high = c

    def keep_out(self, x):
        """Make the interval exclude x, which is no root."""
        for _ in range(200):
            if not self.low <= x <= self.high:
                return True
            self.halve()
        return False


class Events:
    def __init__(self):
        self.all = []
        self.roots = {}

    def between(self, p, a, b):
        """Numbers of events at roots of p in (a, b)."""
        if p not in self.roots:
            self.roots[p] = self._isolated(p)
        for e in self.roots[p]:
            for x in (a, b):
                self.all[e].keep_out(x)
        return [e for e in self.roots[p] if a < self.all[e].low and self.all[e].high < b]

    def _isolated(self, p):
        m = squarefree(p)
        k = 0
        while m and m[k] == 0:
            k += 1
        m = m[k:]
        if len(m) < 2:
            return []
        big = max(map(abs, m))
        with np.errstate(all="ignore"):
            roots = np.roots(np.array([float(Fraction(e, big)) for e in reversed(m)]))
        real = sorted(r.real for r in roots if abs(r.imag) < 1e-7 and 0 < r.real < 1)
        found = []
        d = derivative(m)
        for r in real:
            for close in (2.0**-30, 2.0**-24, 2.0**-40, 2.0**-20):
                low, high = r * (1 - close), r * (1 + close)
                if sign_at(m, Fraction(low)) * sign_at(m, Fraction(high)) < 0 and certain_sign(d, low, high) is not None:
                    found.append(self._number(m, low, high))
                    break
        return list(dict.fromkeys(found))

    def _number(self, m, low, high):
        for k, e in enumerate(self.all):
            if e.low <= high and low <= e.high:
                g = greatest_divisor(m, e.m)
                if len(g) > 1:
                    lo, hi = Fraction(max(low, e.low)), Fraction(min(high, e.high))
                    if sign_at(g, lo) * sign_at(g, hi) < 0:
                        return k
        self.all.append(Event(m, low, high))
        return len(self.all) - 1
