"""Rounding one neuron's weights to integers so that no example changes sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from convexsnn.rationals import Integers
from convexsnn.reconstruction.integers import find_integers

# Scales tried, as a share of the largest at which the weights still fit; beyond it the largest weights are clipped.
SCALES = (1.0, 0.97, 0.93, 0.88, 0.82, 0.75, 0.67, 0.58, 0.5, 1.25, 1.6)
# A product this small, relative to its terms, is a tie.
TIE = 1e-9
# Examples that a search begins with; those that it gets wrong are added, so often.
WORKING_SET, ROUNDS = 1000, 12
# Starts of the exchanges: the scales that round best.
STARTS = 3
# Weights up to which integers are sought by branch and bound, and what scipy calls it when there are none.
MIXED_INTEGER_SIZE, INFEASIBLE = 32, 2


@dataclass(frozen=True)
class Rounding:
    """What integers are allowed, and how long to search.

    Attributes
    ----------
    limit : int
        Largest size of a weight.
    step : float
        Thresholds are multiples of it.
    effort : int
        Exchanges a start, and nodes of a branch and bound.
    generator : numpy Generator
    """

    limit: int
    step: float
    effort: int
    generator: np.random.Generator


@dataclass(frozen=True, eq=False)
class RoundedNeuron:
    """What a neuron must do.

    Attributes
    ----------
    rows : float64 array of shape (rows, p)
        Signed examples.
    sign : float
        Of its threshold, the last of its weights; 0 without one.
    fires : bool array of shape (rows,)
        Examples that may be ties: a potential at the threshold fires.
    exact : callable (int64 array of shape (k,)) -> array of Fractions of shape (k, p)
        Some of the signed examples without rounding.
    index : int64 array of shape (rows,)
        What `exact` calls them.
    """

    rows: np.ndarray
    sign: float
    fires: NDArray[np.bool_]
    exact: Callable[[NDArray[np.int64]], Integers]
    index: NDArray[np.int64]

    @property
    def free(self) -> int:
        """Weights that are to be integers."""
        return self.rows.shape[1] - (self.sign != 0)

    def least(self, candidate: np.ndarray) -> float:
        """The least product with an example, less what rounding may make of it."""
        return float((self.rows @ candidate).min(initial=np.inf) - TIE * max(1.0, np.abs(candidate).max(initial=0.0)))

    def gives(self, candidate: np.ndarray) -> bool:
        """Whether all products are on the right side, ties included, as floats have them."""
        return bool(((self.rows @ candidate > 0) | (self.fires & (self.rows @ candidate == 0))).all())

    def take(self, index: np.ndarray) -> RoundedNeuron:
        """The neuron with these examples only."""
        return replace(self, rows=self.rows[index], fires=self.fires[index], index=self.index[index])

    def with_threshold(self, candidate: np.ndarray, step: float) -> np.ndarray:
        """`candidate` with the threshold in the middle of what the examples allow, or of what they quarrel about."""
        if self.sign == 0:
            return candidate
        products, taken = self.rows[:, :-1] @ candidate[:-1], self.rows[:, -1]
        # products + taken * theta > 0, and taken is negative where the neuron fires.
        high = (products[taken < 0] / -taken[taken < 0]).min(initial=np.inf)
        low = (-products[taken > 0] / taken[taken > 0]).max(initial=-np.inf)
        if np.isinf(high):
            high = max(low, 0.0) + max(2.0, abs(low)) if np.isfinite(low) else 2.0 * max(1.0, self.sign)
        if np.isinf(low):
            low = high - max(2.0, abs(high))
        middle = np.round((low + high) / 2 / step) * step
        return np.append(candidate[:-1], self.sign * max(step, self.sign * middle))


IntegerSearch = Callable[[RoundedNeuron, np.ndarray], tuple[np.ndarray | None, bool]]
"""From some examples and the last integers to new ones, or None and whether there are none."""


def round_plainly(
    neuron: RoundedNeuron, weights: np.ndarray, rounding: Rounding
) -> tuple[np.ndarray | None, list[np.ndarray]]:
    """A rounded multiple of `weights` (p,) with rows @ integers > 0, or None; and all rounded multiples, best first."""
    tried = []
    free, limit = neuron.free, rounding.limit
    largest = np.abs(weights[:free]).max(initial=0.0)
    for share in SCALES if largest > 0 else (1.0,):
        scaled = weights * (share * limit / largest) if largest > 0 else weights
        rounded = np.append(np.clip(np.round(scaled[:free]), -limit, limit), scaled[free:])
        candidate = neuron.with_threshold(rounded, rounding.step)
        if neuron.least(candidate) > 0:
            return candidate, [candidate]
        tried.append((-neuron.least(candidate), len(tried), candidate))
    return None, [candidate for *_, candidate in sorted(tried, key=lambda entry: entry[:2])]


def exchange_integers(
    neuron: RoundedNeuron, weights: np.ndarray, starts: list[np.ndarray], rounding: Rounding
) -> np.ndarray | None:
    """Integers found from one of `starts` by changing one at a time; None is no proof that there are none."""
    for start in starts[:STARTS]:
        found, _ = _on_working_set(
            neuron, weights, lambda part, last: (_exchange(part, last, rounding), False), start, rounding
        )
        if found is not None:
            return found
    return None


def solve_in_integers(neuron: RoundedNeuron, weights: np.ndarray, rounding: Rounding) -> tuple[np.ndarray | None, bool]:
    """Any integers with the neuron's decisions; without them, whether it is proved that there are none.

    HiGHS seeks some with a little room in every decision. Where it finds none, `find_integers` decides about all.
    """
    return _on_working_set(neuron, weights, lambda part, _: _mixed_integer(part, rounding), weights, rounding)


def _on_working_set(
    neuron: RoundedNeuron, weights: np.ndarray, search: IntegerSearch, start: np.ndarray, rounding: Rounding
) -> tuple[np.ndarray | None, bool]:
    """`search` on the examples that `weights` have nearest to the boundary, and then on those that it gets wrong."""
    sizes = np.linalg.norm(neuron.rows, axis=1)
    nearest = np.argsort(neuron.rows @ weights / np.maximum(sizes, 1e-300), kind="stable")
    working, candidate = nearest[:WORKING_SET], start
    for _ in range(ROUNDS):
        found, excluded = search(neuron.take(working), candidate)
        if found is None:
            return None, excluded
        candidate = neuron.with_threshold(found, rounding.step)
        if neuron.least(candidate) > 0:
            return candidate, False
        if neuron.gives(found):
            return found, False
        wrong = np.argsort(neuron.rows @ candidate, kind="stable")[: WORKING_SET // 4]
        working = np.union1d(working, wrong)
    return None, False


def _exchange(neuron: RoundedNeuron, start: np.ndarray, rounding: Rounding) -> np.ndarray | None:
    """Coordinate descent on the hinge of the examples: steps of one, of several sizes for the threshold."""
    rows, free, current = neuron.rows, neuron.free, start.copy()
    if not rows.any():
        return None
    aim, reach = float(np.median(np.abs(rows[rows != 0]))), float(np.abs(rows).max())
    steps = [(k, 1.0) for k in range(free)]
    steps += [(free, size) for size in (4.0, 1.0, 0.25, rounding.step) if neuron.sign]
    at, sizes = (np.array(part) for part in zip(*steps, strict=True))
    for _ in range(rounding.effort):
        middle = neuron.with_threshold(current, rounding.step)
        if neuron.least(middle) > 0:
            return middle
        products = rows @ current
        near = products < aim + 4.0 * reach
        active, here = rows[near][:, at] * sizes, products[near, None]
        costs = []
        for side in (1.0, -1.0):
            moved = current[at] + side * sizes
            allowed = np.where(at < free, np.abs(moved) <= rounding.limit, moved * neuron.sign > 0)
            costs.append(np.where(allowed, np.maximum(aim - here - side * active, 0.0).sum(axis=0), np.inf))
        row, k = np.unravel_index(int(np.argmin(costs)), (2, len(at)))
        if costs[row][k] < np.maximum(aim - here, 0.0).sum() * (1 - 1e-12):
            current[at[k]] += sizes[k] * (1.0 - 2.0 * row)
        elif aim > 1e-3 * reach:
            aim /= 2  # a smaller aim weighs the wrong examples more
        else:
            chosen = rounding.generator.choice(free, size=min(free, 2), replace=False)
            jumps = rounding.generator.choice((-1.0, 1.0), size=len(chosen))
            current[chosen] = np.clip(current[chosen] + jumps, -rounding.limit, rounding.limit)
    return None


def _mixed_integer(neuron: RoundedNeuron, rounding: Rounding) -> tuple[np.ndarray | None, bool]:
    rows, free, limit, p = neuron.rows, neuron.free, float(rounding.limit), neuron.rows.shape[1]
    # Room for the threshold to be rounded.
    room = rounding.step / 2 * np.abs(rows[:, -1]) if free < p else np.zeros(len(rows))
    room = np.maximum(room, 1e-6 * np.abs(rows).max(initial=1.0))
    low, high = np.full(p, -limit), np.full(p, limit)
    if free < p:
        far = max(1.0, limit * float(np.abs(rows[:, :free]).sum(axis=1).max(initial=1.0)))
        low[-1], high[-1] = sorted((neuron.sign * rounding.step, neuron.sign * far))
    integral = np.append(np.ones(free), np.zeros(p - free))
    bounds = Bounds(low, high)  # type: ignore[arg-type] - arrays are documented
    constraint = LinearConstraint(rows, room, np.inf)  # type: ignore[arg-type]
    options = {"node_limit": rounding.effort}
    result = milp(np.zeros(p), integrality=integral, bounds=bounds, constraints=constraint, options=options)
    if result.x is None and result.status == INFEASIBLE:
        return find_integers(
            neuron.exact(neuron.index), neuron.fires, rounding.limit, neuron.sign * rounding.step, rounding.effort
        )
    if result.x is None:
        return None, False
    return np.append(np.round(result.x[:free]), result.x[free:]), False
