"""Homogeneous linear inequalities, decided without rounding: a point that satisfies them, or a proof of none.

Of weak rows and strict rows either some p has weak @ p >= 0 and strict @ p > 0, or multipliers y >= 0, not all zero on
the strict rows, have y @ (weak and strict) = 0 (Motzkin's theorem). The simplex method in integers finds one of both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from convexsnn.rationals.dyadic import Integers
from convexsnn.rationals.elimination import kernel_lattice

# Pivots a row of the tableau after which the least index is taken (Bland's rule, which ends), and not the steepest.
HURRY = 4


@dataclass(frozen=True, eq=False)
class Answer:
    """A point, or multipliers.

    Attributes
    ----------
    point : integer array of shape (r,), or None
        strict @ point > 0 and weak @ point >= 0.
    multipliers : list of Fraction, or None
        Without a point: of the strict rows, then of the weak ones; those of the strict rows sum to one.
    """

    point: Integers | None
    multipliers: list[Fraction] | None


@dataclass(frozen=True, eq=False)
class Interior:
    """A point in the relative interior of a system's solutions.

    Attributes
    ----------
    point : integer array of shape (r,)
    tied : bool array of shape (weak rows,)
        Rows that are 0 at every solution. At `point` all the others are positive.
    """

    point: Integers
    tied: NDArray[np.bool_]


def decide_inequalities(strict: Integers, weak: Integers) -> Answer:
    """Whether some p has strict @ p > 0 and weak @ p >= 0.

    Parameters
    ----------
    strict, weak : integer arrays of shapes (k, r) and (l, r)
    """
    rows = np.concatenate([strict, weak])
    if len(strict) == 0:
        return Answer(np.zeros(rows.shape[1], dtype=object), None)
    # Phase one of the simplex method for y >= 0 with rows^T y = 0 and a sum of one over the strict rows.
    ones = np.array([[1]] * len(strict) + [[0]] * len(weak), dtype=object)
    system = np.concatenate([rows, ones], axis=1)
    size = system.shape[1]
    table = np.zeros((size, size + 1), dtype=object)  # the inverse of the basis and its solution, times `scale`
    for k in range(size):
        table[k, k] = 1
    table[-1, -1] = 1
    scale, basis = 1, [len(rows) + k for k in range(size)]  # artificial variables at first
    pivots = 0
    while True:
        artificial = [k for k in range(size) if basis[k] >= len(rows)]
        prices = table[artificial, :-1].sum(axis=0) if artificial else np.zeros(size, dtype=object)
        gains = system @ prices
        rising = np.flatnonzero(gains > 0)
        if len(rising) == 0:
            break
        enters = int(rising[0]) if pivots > HURRY * size else int(max(rising, key=lambda j: gains[j]))
        column = table[:, :-1] @ system[enters]
        leaves = _leaving(column, table[:, -1], basis)
        others = [k for k in range(size) if k != leaves]
        table[others] = (table[others] * column[leaves] - column[others, None] * table[leaves]) // scale
        scale, basis[leaves] = column[leaves], enters
        pivots += 1
    left = sum(table[k, -1] for k in artificial)
    if left == 0:
        values = {basis[k]: Fraction(table[k, -1], scale) for k in range(size) if basis[k] < len(rows)}
        return Answer(None, [values.get(j, Fraction(0)) for j in range(len(rows))])
    point = -prices[:-1]
    return Answer(point // max(1, math.gcd(*point.tolist())), None)


def _leaving(column: Integers, solution: Integers, basis: list[int]) -> int:
    """The row of the least ratio solution / column among positive entries; of equal ones that of the least variable."""
    best = None
    for k in range(len(basis)):
        if column[k] > 0:
            ahead = 0 if best is None else solution[k] * column[best] - solution[best] * column[k]
            if best is None or ahead < 0 or (ahead == 0 and basis[k] < basis[best]):
                best = k
    assert best is not None  # the sum of artificial variables is bounded below
    return best


def interior(strict: Integers, weak: Integers) -> Interior | None:
    """A solution of strict @ p > 0 and weak @ p >= 0 at which no weak row is 0 unless it is at all solutions.

    Multipliers of a contradiction say which rows are: each is nonnegative at a solution, and their sum is zero.
    """
    tied = np.zeros(len(weak), dtype=bool)
    while True:
        free = np.flatnonzero(~tied)
        # What vanishes is left out, and p is sought where it does.
        lattice = kernel_lattice(weak[tied])
        reduced = np.concatenate([strict, weak[free]]) @ lattice
        vanishing = ~np.array([row.any() for row in reduced[len(strict) :]], dtype=bool)
        if vanishing.any():
            tied[free[vanishing]] = True
            continue
        answer = decide_inequalities(reduced, np.zeros((0, lattice.shape[1]), dtype=object))
        if answer.point is not None:
            return Interior(lattice @ answer.point, tied)
        assert answer.multipliers is not None
        support = np.array([multiplier > 0 for multiplier in answer.multipliers])
        if support[: len(strict)].any():
            return None
        tied[free[support[len(strict) :]]] = True
