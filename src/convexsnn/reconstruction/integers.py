"""Integer weights by branch and bound, decided without rounding: some, or a proof that there are none."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from convexsnn.rationals import Integers, as_integers, primitive_rows

IntegerBox = tuple[list[int], list[int]]


def find_integers(
    rows: Integers, fires: NDArray[np.bool_], limit: int, step: float, effort: int
) -> tuple[np.ndarray | None, bool]:
    """Integers u with rows @ u >= 0 where the neuron fires and > 0 where it does not; or whether there are none.

    Each node is a box of integers. It is closed by multipliers of a linear program, which are checked in integers: a
    nonnegative combination of the rows that is too small on the whole box.

    Parameters
    ----------
    rows : array of Fractions of shape (k, p)
        Signed examples.
    fires : bool array of shape (k,)
    limit : int
        Largest size of a weight.
    step : float
        The last of the weights is a threshold, a positive multiple of it; 0 without one.
    effort : int
        Nodes to visit.

    Returns
    -------
    float64 array of shape (p,), or None
    bool
        Without integers, whether it is proved that there are none.
    """
    p = rows.shape[1]
    scaled, low, high = rows.copy(), [-limit] * p, [limit] * p
    if step:
        scaled[:, -1] = rows[:, -1] * Fraction(step)
        low[-1], high[-1] = 1, _largest_threshold(scaled, limit)
    whole, _ = primitive_rows(scaled)
    floor = np.where(fires, 0, 1).astype(object)
    waiting: list[IntegerBox] = [(low, high)]
    for _ in range(effort):
        if not waiting:
            return None, True
        low, high = waiting.pop()
        point = _relaxed(whole, floor, low, high)
        if point is None:
            continue
        if bool((whole @ np.array(point, dtype=object) >= floor).all()):
            found = np.array(point, dtype=np.float64)
            found[-1] *= step or 1.0
            return found, False
        widest = max(range(p), key=lambda k: high[k] - low[k])
        if high[widest] == low[widest]:
            continue
        cut = min(max(point[widest], low[widest]), high[widest] - 1)
        below, above = list(high), list(low)
        below[widest], above[widest] = cut, cut + 1
        waiting += [(low, below), (above, high)]
    return None, not waiting


def _largest_threshold(rows: Integers, limit: int) -> int:
    """A multiple of the threshold beyond which it alone decides every row in which it occurs."""
    reach = [limit * sum(map(abs, row[:-1])) / abs(row[-1]) for row in rows.tolist() if row[-1]]
    return int(max(reach, default=Fraction(0))) + 1


def _relaxed(rows: Integers, floor: Integers, low: list[int], high: list[int]) -> list[int] | None:
    """Integers of the box near its best real point; None when the box is proved to hold none that are right."""
    sizes = np.maximum(1, np.abs(rows).max(axis=1, initial=1)) * max(1, max(map(abs, (*low, *high))))
    near = np.array([[a / b for a in row] for row, b in zip(rows.tolist(), sizes, strict=True)], dtype=np.float64)
    target = np.array([a / b for a, b in zip(floor, sizes, strict=True)], dtype=np.float64)
    p = rows.shape[1]
    # The largest t with near @ u >= target + t on the box.
    bounds = [*zip(map(float, low), map(float, high), strict=True), (None, 1.0)]
    system = np.column_stack([-near, np.ones(len(near))])
    result = linprog(np.r_[np.zeros(p), -1.0], system, -target, bounds=bounds, method="highs")
    if result.x is None:
        return list(low)
    multipliers, _ = as_integers(np.maximum(-result.ineqlin.marginals, 0.0))
    weighed = [m * scale for m, scale in zip(multipliers.tolist(), _inverse(sizes), strict=True)]
    combined = np.array(weighed, dtype=object) @ rows
    largest = sum(max(c * a, c * b) for c, a, b in zip(combined.tolist(), low, high, strict=True))
    if largest < np.array(weighed, dtype=object) @ floor:
        return None
    return [int(min(max(round(v), a), b)) for v, a, b in zip(result.x[:p].tolist(), low, high, strict=True)]


def _inverse(sizes: Integers) -> list[int]:
    """Integers in about the ratio of one over each size: any positive factors give valid multipliers."""
    largest = max(sizes)
    return [max(1, (largest << 60) // size) for size in sizes]
