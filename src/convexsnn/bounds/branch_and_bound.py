"""Branch and bound for mixed-integer programs whose lower bound is proved, whatever the LP solver says.

HiGHS solves the linear programs of the nodes and is trusted with none of them (its own branch and bound was seen to
return a wrong optimum of such a program as proved). By weak duality any multipliers y >= 0 give

    min {c.x : A x >= b, l <= x <= u}  >=  y.b + sum_j min(r_j l_j, r_j u_j),    r = c - A^T y

which is evaluated here (Neumaier and Shcherbina, Safe bounds in linear and mixed-integer linear programming, 2004),
less a bound of its rounding. A node is closed as infeasible only by multipliers that prove it in the same way with
c = 0. So errors and tolerances of the solver cost tightness, not truth.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from convexsnn.bounds.interruptible import interruptibly
from convexsnn.solvers.hinge.restricted_lp import QuietHighs

Floats = NDArray[np.float64]
# Variables so near 0 or 1 are taken to be integers: then the node is not branched on, and keeps its bound.
INTEGRAL = 1e-7
# A node is closed when its bound is within so much of the best point, relatively.
NEAR = 1e-10
# Relaxations whose solutions are kept.
POINTS = 100


@dataclass(frozen=True, eq=False)
class BinaryProgram:
    """min cost.x subject to matrix x >= floor, low <= x <= high, and x_j in {0, 1} for j in `binary`.

    Attributes
    ----------
    cost, low, high : float64 arrays of shape (n,), finite
    matrix : sparse array of shape (m, n)
    floor : float64 array of shape (m,)
    binary : int array
    shown : int
        The first so many variables are what a search for good points is made for (`Outcome.points`).
    """

    cost: Floats
    low: Floats
    high: Floats
    matrix: csr_array
    floor: Floats
    binary: NDArray[np.int32]
    shown: int = 0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What `minimise` found.

    Attributes
    ----------
    bound : float
        No feasible point costs less: proved.
    x : float64 array of shape (n,), optional
        The best point with integral binaries that was met; feasible up to the tolerance of HiGHS.
    finished : bool
        Whether every node was closed; else time was up.
    points : float64 array of shape (k, shown)
        The first variables at the last relaxations that were solved, which lie near the best points.
    """

    bound: float
    x: Floats | None
    finished: bool
    points: Floats


def minimise(program: BinaryProgram, time_limit: float) -> Outcome:
    """Branch on binaries, deepest first along the better child and best first between dives.

    Parameters
    ----------
    program : BinaryProgram
    time_limit : float
        Seconds.
    """
    until, relaxation, ticket = time.perf_counter() + time_limit, _Relaxation(program), itertools.count()
    best, x_best, closed = np.inf, None, np.inf
    points: deque[Floats] = deque(maxlen=POINTS)
    start = program.low[program.binary], program.high[program.binary]
    waiting = [(-np.inf, next(ticket), *start)]
    enough = lambda bound: bound >= (best - NEAR * abs(best) if np.isfinite(best) else np.inf)  # noqa: E731
    while waiting and not enough(waiting[0][0]) and time.perf_counter() < until:
        bound, _, low, high = heapq.heappop(waiting)
        while True:
            proved, x = relaxation.solve(low, high, best, until - time.perf_counter())
            bound = max(bound, proved)
            if x is not None:
                points.append(x[: program.shown])
            j = None if x is None or enough(bound) else relaxation.branching(x, low, high)
            if j is None:
                if x is not None and relaxation.is_integral(x) and (value := float(program.cost @ x)) < best:
                    best, x_best = value, x
                closed = min(closed, bound)
                break
            assert x is not None
            up = x[program.binary[j]] > 0.5
            other = low.copy(), high.copy()
            low, high = low.copy(), high.copy()
            (low if up else high)[j] = (other[1] if up else other[0])[j] = float(up)
            other[1 if up else 0][j] = 1.0 - up
            heapq.heappush(waiting, (bound, next(ticket), *other))
    lowest = min(closed, waiting[0][0]) if waiting else closed
    return Outcome(lowest, x_best, bool(enough(lowest)), np.array(points).reshape(len(points), program.shown))


class _Relaxation:
    """The linear program of a node, kept inside HiGHS between nodes."""

    def __init__(self, program: BinaryProgram) -> None:
        self.program, self.transposed = program, csr_array(program.matrix.T)
        self.sizes = abs(self.transposed)
        self.highs = QuietHighs()
        for name, value in (("presolve", "off"), ("solver", "simplex"), ("threads", 1)):
            self.highs.setOptionValue(name, value)
        matrix, m, n = program.matrix, len(program.floor), len(program.cost)
        self.highs.addVars(n, program.low, program.high)
        self.highs.changeColsCost(n, np.arange(n, dtype=np.int32), program.cost)
        starts, index = (part.astype(np.int32) for part in (matrix.indptr[:-1], matrix.indices))
        above = np.full(m, highspy.kHighsInf)
        self.highs.addRows(m, program.floor, above, len(index), starts, index, np.asarray(matrix.data, np.float64))

    def solve(self, low: Floats, high: Floats, best: float, seconds: float) -> tuple[float, Floats | None]:
        """A proved bound with these ranges of the binaries, and a point unless there is none that costs less."""
        program, highs = self.program, self.highs
        highs.changeColsBounds(len(program.binary), program.binary, low, high)
        if np.isfinite(best):
            highs.setOptionValue("objective_bound", best)
        highs.setOptionValue("time_limit", highs.getRunTime() + max(seconds, 1e-3))
        interruptibly(highs.run)
        lower, upper = program.low.copy(), program.high.copy()
        lower[program.binary], upper[program.binary] = low, high
        if highs.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
            ray = np.asarray(highs.getDualRay()[-1], dtype=np.float64)  # type: ignore[attr-defined]
            impossible = max(self._weakly(sign * ray, 0.0 * program.cost, lower, upper) for sign in (1.0, -1.0)) > 0.0
            return (np.inf if impossible else -np.inf), None
        solution = highs.getSolution()
        bound = self._weakly(np.asarray(solution.row_dual), program.cost, lower, upper)
        optimal = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        return bound, np.asarray(solution.col_value) if optimal else None

    def _weakly(self, y: Floats, cost: Floats, low: Floats, high: Floats) -> float:
        """The lower bound that multipliers prove; -inf for what are not multipliers."""
        if y.shape != self.program.floor.shape or not np.isfinite(y).all():
            return -np.inf
        y, floor = np.maximum(y, 0.0), self.program.floor
        reduced = cost - self.transposed @ y
        value = y @ floor + np.where(reduced > 0.0, reduced * low, reduced * high).sum()
        # Sums of at most m + n + 4 rounded terms (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
        terms = y @ np.abs(floor) + (np.abs(cost) + self.sizes @ y) @ np.maximum(np.abs(low), np.abs(high))
        return float(value - (len(y) + len(cost) + 4) * np.finfo(np.float64).eps * terms)

    def branching(self, x: Floats, low: Floats, high: Floats) -> int | None:
        """Which of the binaries to branch on: fractional, and of weight in the objective; None where there is none."""
        values = x[self.program.binary]
        fraction = np.minimum(values, 1.0 - values)
        score = np.sqrt(np.maximum(fraction, 0.0)) * (1e-3 + np.abs(self.program.cost[self.program.binary]))
        score[(fraction <= INTEGRAL) | (low == high)] = 0.0
        return int(score.argmax()) if score.any() else None

    def is_integral(self, x: Floats) -> bool:
        """Whether all binaries are 0 or 1."""
        values = x[self.program.binary]
        return bool((np.abs(values - np.round(values)) <= INTEGRAL).all())
