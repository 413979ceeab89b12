"""From decisions to weights that give them in float64: with the widest margin, or with ties where some are needed.

Where all decisions can be met with a margin, the widest one is a linear program. Where some can only be met as ties,
these are equations in integers, solved without rounding: their solutions are a lattice, on which all else has a margin.
A vector of few bits there makes float64 find the ties as well, as far as it computes the potentials without rounding.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from scipy.optimize import linprog

from convexsnn.bounds.patterns.dynamics import Conditions, Dynamics
from convexsnn.rationals import Floats, Integers, bit_length, decide_inequalities, interior, kernel_lattice

# Margins below are not believed: the solver's tolerance on constraints.
SMALLEST_MARGIN = 1e-9
# Bits to which a vector of the lattice is rounded: few at first, as then products with inputs do not round.
PRECISIONS = (*range(8), 12, 16, 24, 32, 48, 64)
# Vectors to try around one solution.
TRIES = 4


def margin_of(dynamics: Dynamics, conditions: Conditions) -> float | None:
    """The widest margin, in units of the largest weight; 0 where decisions need ties, None where they contradict."""
    widest = _widest(dynamics, conditions)
    if widest is not None:
        return widest[1]
    return None if _ties(dynamics, conditions) is None else 0.0


def candidates(dynamics: Dynamics, conditions: Conditions) -> Iterator[Floats]:
    """Parameters p, with weights in the units of the network, that may meet the conditions in float64; best first."""
    widest = _widest(dynamics, conditions)
    if widest is not None:
        yield widest[0]
    ties = _ties(dynamics, conditions)
    if ties is not None:
        yield from _on_lattice(dynamics, conditions, ties)


def _widest(dynamics: Dynamics, conditions: Conditions) -> tuple[Floats, float] | None:
    """The largest margin over p in the unit box: form @ p >= margin where 1, <= -margin where 0, theta >= margin."""
    A, s = dynamics.in_floats(conditions), conditions.bits
    used = A.any(axis=1)
    if bool((~used & ~s).any()):
        return None
    A, s = A[used], s[used]
    r = A.shape[1]
    rows = np.column_stack([A * np.where(s, -1.0, 1.0)[:, None], np.ones(len(A))])
    if dynamics.theta is not None:
        bound = np.zeros((1, r + 1))
        bound[0, [dynamics.theta, r]] = -1.0, 1.0
        rows = np.vstack([rows, bound])
    limits = [(-1.0, 1.0)] * r + [(0.0, 1.0)]
    result = _largest_last(rows, limits)
    return None if result is None or result[r] <= SMALLEST_MARGIN else (result[:r], float(result[r]))


def _largest_last(rows: Floats, limits: list[tuple[float, float]]) -> Floats | None:
    """The x within limits with rows @ x <= 0 and the largest last entry; None where HiGHS finds none."""
    cost = np.zeros(len(limits))
    cost[-1] = -1.0
    result = linprog(cost, A_ub=rows, b_ub=np.zeros(len(rows)), bounds=limits, method="highs")
    return result.x if result.status == 0 else None


def _ties(dynamics: Dynamics, conditions: Conditions) -> Integers | None:
    """The forms that are 0 wherever the conditions are met; None where they cannot be."""
    weak, strict = _distinct(conditions.forms[conditions.bits]), _distinct(-conditions.forms[~conditions.bits])
    if dynamics.theta is not None:
        size = np.zeros((1, weak.shape[1]), dtype=object)
        size[0, dynamics.theta] = 1
        strict = np.concatenate([strict, size])
    found = interior(strict, weak)
    return None if found is None else weak[found.tied]


def _distinct(rows: Integers) -> Integers:
    unique = list(dict.fromkeys(map(tuple, rows.tolist())))
    return np.array(unique, dtype=object).reshape(len(unique), rows.shape[1])


def _on_lattice(dynamics: Dynamics, conditions: Conditions, ties: Integers) -> Iterator[Floats]:
    """Vectors of the lattice on which the ties hold, rounded ever more finely around two points that meet the rest."""
    lattice = kernel_lattice(ties, dynamics.theta)
    signed = np.where(conditions.bits[:, None], conditions.forms, -conditions.forms)
    if dynamics.theta is not None:
        signed = np.concatenate([signed, np.zeros((1, signed.shape[1]), dtype=object)])
        signed[-1, dynamics.theta] = 1
    rows = signed @ lattice
    rows = _distinct(rows[rows.any(axis=1).astype(bool)])
    if len(rows) == 0:  # all is a tie, as it is where all parameters are zero
        yield dynamics.parameters(np.zeros(lattice.shape[0], dtype=object))
        return
    # Parameters have units of their own. NumPy would make floats of a list of integers from 2**63 on.
    balance = np.array([1 << (bit_length(rows) - bit_length(column)) for column in rows.T], dtype=object)
    lattice, rows = lattice * balance, rows * balance
    for center in (_wide_center(rows), decide_inequalities(rows, rows[:0]).point):
        if center is not None and bool((rows @ center > 0).all()):
            yield from _around(dynamics, lattice, rows, center)


def _around(dynamics: Dynamics, lattice: Integers, rows: Integers, center: Integers) -> Iterator[Floats]:
    """The center rounded to few bits, where rows @ z stay positive, and to the nearest floats."""
    vectors = (_rounded(center, precision, dynamics.theta is not None) for precision in PRECISIONS)
    right = (z for z in vectors if bool((rows @ z > 0).all()))
    for z in (*itertools.islice(right, TRIES), center):
        try:
            yield dynamics.parameters(lattice @ z)
        except OverflowError:
            return


def _wide_center(rows: Integers) -> Integers | None:
    """About the z of the widest angle to all rows, as integers; None where HiGHS finds none."""
    near = (rows / np.abs(rows).sum(axis=1, keepdims=True)).astype(np.float64)
    limits = [(-1.0, 1.0)] * rows.shape[1] + [(0.0, 1.0)]
    found = _largest_last(np.column_stack([-near, np.ones(len(rows))]), limits)
    if found is None or found[-1] <= SMALLEST_MARGIN:
        return None
    return np.array([int(value) for value in np.rint(np.ldexp(found[:-1], 60)).tolist()], dtype=object)


def _rounded(center: Integers, precision: int, anchored: bool) -> Integers:
    """The center with entries in units of its first entry (or its largest) over 2**precision, rounded to integers."""
    unit = int(center[0]) if anchored else int(np.abs(center).max())
    return np.array([(2 * (v << precision) + unit) // (2 * unit) for v in center.tolist()], dtype=object)
