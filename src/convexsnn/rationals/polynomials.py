"""Polynomials in one variable with integer coefficients, the constant one first, without rounding."""

from __future__ import annotations

import math
from fractions import Fraction

Polynomial = tuple[int, ...]


def reduced(p: list[int] | Polynomial) -> Polynomial:
    """Without leading zeros and common divisor; () for 0."""
    p = list(p)
    while p and p[-1] == 0:
        p.pop()
    divisor = math.gcd(*p) if p else 1
    return tuple(entry // divisor for entry in p)


def add(p: Polynomial, q: Polynomial, times: int = 1) -> Polynomial:
    """p + times * q."""
    shorter = min(len(p), len(q))
    both = tuple(a + times * b for a, b in zip(p, q, strict=False))
    return both + p[shorter:] + tuple(times * b for b in q[shorter:])


def multiply(p: Polynomial, q: Polynomial) -> Polynomial:
    """p * q."""
    found = [0] * (len(p) + len(q) - 1 if p and q else 0)
    for k, a in enumerate(p):
        if a:
            for j, b in enumerate(q):
                found[k + j] += a * b
    return tuple(found)


def derivative(p: Polynomial) -> Polynomial:
    """The derivative."""
    return tuple(k * entry for k, entry in enumerate(p) if k)


def divided(p: Polynomial, q: Polynomial) -> Polynomial | None:
    """p / q where that has integer coefficients, else None."""
    rest, found = list(p), [0] * max(0, len(p) - len(q) + 1)
    for k in range(len(p) - len(q), -1, -1):
        found[k], left = divmod(rest[k + len(q) - 1], q[-1])
        if left:
            return None
        for j, entry in enumerate(q):
            rest[k + j] -= found[k] * entry
    return None if any(rest) else tuple(found)


def greatest_divisor(p: Polynomial, q: Polynomial) -> Polynomial:
    """The greatest common divisor, up to its sign: Euclid's algorithm with remainders made primitive."""
    p, q = reduced(p), reduced(q)
    if len(p) < len(q):
        p, q = q, p
    while q:
        rest = list(p)
        while len(rest) >= len(q):
            lead = rest[-1]
            if lead:
                shift = len(rest) - len(q)
                rest = [entry * q[-1] for entry in rest]
                for j, entry in enumerate(q):
                    rest[shift + j] -= lead * entry
            rest.pop()
        p, q = q, reduced(rest)
    return p


def squarefree(p: Polynomial) -> Polynomial:
    """The polynomial whose roots are those of p, each once."""
    p = reduced(p)
    quotient = divided(p, greatest_divisor(p, derivative(p))) if len(p) > 1 else p
    assert quotient is not None
    return reduced(quotient)


def sign_at(p: Polynomial, x: Fraction) -> int:
    """The sign of p(x)."""
    total = 0
    numerator, denominator, power = x.numerator, x.denominator, 1
    for entry in reversed(p):
        total = total * numerator + entry * power
        power *= denominator
    return (total > 0) - (total < 0)


def sign_between(p: Polynomial, a: Fraction, b: Fraction) -> int | None:
    """The sign that all coefficients of Bernstein on [a, b] have, and so p there; None where they differ."""
    if not p:
        return 0
    row = [Fraction(entry) for entry in p]
    for i in range(len(row) - 1):
        for j in range(len(row) - 2, i - 1, -1):
            row[j] += a * row[j + 1]
    row = [entry * (b - a) ** j / math.comb(len(row) - 1, j) for j, entry in enumerate(row)]
    for i in range(1, len(row)):
        for j in range(len(row) - 1, i - 1, -1):
            row[j] += row[j - 1]
    if all(entry > 0 for entry in row):
        return 1
    return -1 if all(entry < 0 for entry in row) else None
