"""Rank and kernels of integer matrices, by elimination without rounding."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np

from convexsnn.rationals.dyadic import Integers

Row = list[int]


def primitive(row: Sequence[int]) -> Row:
    """The row divided by the greatest common divisor of its entries."""
    divisor = math.gcd(*row)
    return [entry // divisor for entry in row] if divisor > 1 else list(row)


def primitive_rows(rows: Integers) -> tuple[Integers, list[Fraction]]:
    """Rows of Fractions (or floats, which are) as integers without a common divisor, and the factor of each row."""
    whole, factors = np.zeros(rows.shape, dtype=object), []
    for k, row in enumerate(rows.tolist()):
        entries = [Fraction(entry) for entry in row]
        common = math.lcm(*(entry.denominator for entry in entries))
        numbers = [int(entry * common) for entry in entries]
        divisor = math.gcd(*numbers) or 1
        whole[k] = [number // divisor for number in numbers]
        factors.append(Fraction(common, divisor))
    return whole, factors


def independent_columns(rows: Iterable[Row], width: int) -> list[int]:
    """Columns of an integer matrix that form a basis of the space of its columns; their number is its rank."""
    echelon: list[tuple[int, Row]] = []
    for row in rows:
        for pivot, reduced in echelon:
            if row[pivot]:
                row = primitive([reduced[pivot] * a - row[pivot] * b for a, b in zip(row, reduced, strict=True)])
        leading = next((j for j, entry in enumerate(row) if entry), None)
        if leading is not None:
            echelon.append((leading, row))
            if len(echelon) == width:
                break
    return sorted(pivot for pivot, _ in echelon)


def kernel_lattice(rows: Integers, first: int | None = None) -> Integers:
    """A basis of all integer vectors x with rows @ x = 0, as columns (width, k).

    With `first`, all but the first of the basis vectors are 0 at that place, and there the first one is >= 0: then the
    integers that a vector of the lattice can have there are its multiples.

    Parameters
    ----------
    rows : integer array of shape (m, width)
    first : int, optional
        A place of the vectors.

    References
    ----------
    Euclid's algorithm on columns (the Hermite normal form): H. Cohen, A Course in Computational Algebraic Number
    Theory, section 2.4.
    """
    width = rows.shape[1]
    basis = [[int(j == k) for j in range(width)] for k in range(width)]
    for row in rows.tolist():
        basis = _gathered(basis, [sum(a * b for a, b in zip(row, vector, strict=True)) for vector in basis])[1:]
    if first is not None and basis:
        values = [vector[first] for vector in basis]
        leading = _gathered(basis, values)
        basis = leading[1:] if not any(leading[0]) else leading
    columns = np.zeros((width, len(basis)), dtype=object)
    for k, vector in enumerate(basis):
        columns[:, k] = vector
    return columns


def _gathered(basis: list[Row], values: list[int]) -> list[Row]:
    """Another basis of the same lattice, on which a linear form that has `values` is 0 for all vectors but the first.

    Where it is 0 on all of them, a vector of zeros comes first, and all of them follow.
    """
    basis, values = [list(vector) for vector in basis], list(values)
    while sum(value != 0 for value in values) > 1:
        least = min((k for k, value in enumerate(values) if value), key=lambda k: abs(values[k]))
        for k, value in enumerate(values):
            if k != least and value:
                times = value // values[least]
                values[k] -= times * values[least]
                basis[k] = [a - times * b for a, b in zip(basis[k], basis[least], strict=True)]
    at = next((k for k, value in enumerate(values) if value), None)
    if at is None:
        return [[0] * (len(basis[0]) if basis else 0), *basis]
    lead = basis.pop(at)
    return [lead if values[at] > 0 else [-entry for entry in lead], *basis]
