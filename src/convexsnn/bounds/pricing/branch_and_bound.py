"""The best pattern of one neuron by branch and bound over cells, with a bound that holds even when it is stopped early.

The prefixes of the input are decided one after the other. All neurons that have decided alike so far are a cell, which
the next decision cuts in at most two. No pattern of a cell is worth more than what is decided, and the better sign of
all that is open: a cell whose bound does not exceed what has been found is closed, and all its neurons with it.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convexsnn.bounds.pricing.cones import Cone
from convexsnn.bounds.pricing.decisions import PricedPrefixes
from convexsnn.rationals import Floats, Integers

# A cell is closed when its bound is within so much of what has been found, relatively.
NEAR = 1e-10
# A dual vector that is feasible with so much room is found to be feasible when it is priced anew: see `exact_oracle`.
ROOM = 4.0 * NEAR


@dataclass(frozen=True, eq=False)
class Found:
    """A pattern that neurons of the unit give.

    Attributes
    ----------
    value : float
        The norm of d^T U.
    spikes, bits : list of bool
        On every prefix; bits that are not read are False.
    """

    value: float
    spikes: list[bool]
    bits: list[bool]


@dataclass(frozen=True, eq=False)
class Priced:
    """What is known of the best pattern of a unit.

    Attributes
    ----------
    bound : float
        No pattern of the unit is worth more, up to rounding of sums of U.
    finished : bool
        Whether all cells were closed before time was up.
    found : tuple of Found
        The best patterns that were met, best first, each worth more than `enough` at the time.
    """

    bound: float
    finished: bool
    found: tuple[Found, ...]


@dataclass(eq=False)
class _Cell:
    """Neurons that agree on the first prefixes. `value` (C,) is d^T U of what is decided."""

    cone: Cone
    value: Floats
    membranes: list[Integers]
    spikes: list[bool]
    bits: list[bool]

    def copy(self) -> _Cell:
        return _Cell(self.cone, self.value, self.membranes.copy(), self.spikes.copy(), self.bits.copy())


class _Search:
    def __init__(self, prefixes: PricedPrefixes, norm: Callable[[Floats], float], enough: float, count: int) -> None:
        self.prefixes, self.norm, self.enough, self.count = prefixes, norm, enough, count
        gains = prefixes.gains
        after = lambda part: np.concatenate([np.cumsum(part[::-1], axis=0)[::-1], np.zeros((1, gains.shape[1]))])  # noqa: E731
        self.up, self.down = after(np.maximum(gains, 0.0)), after(np.maximum(-gains, 0.0))
        self.reads_membrane = prefixes.dynamics.family.reads_membrane
        self.found: list[Found] = []

    @property
    def level(self) -> float:
        """What a cell must exceed."""
        best = self.found[0].value if self.found else 0.0
        return max(self.enough, best)

    def bound(self, cell: _Cell) -> float:
        """No pattern of the cell is worth more."""
        k = len(cell.bits)
        return self.norm(np.maximum(np.abs(cell.value + self.up[k]), np.abs(cell.value - self.down[k])))

    def start(self) -> _Cell:
        dynamics = self.prefixes.dynamics
        cone: Cone | None = Cone.whole(dynamics.n_parameters)
        if dynamics.theta is not None:
            cone = cone.above(tuple(int(k == dynamics.theta) for k in range(dynamics.n_parameters)))
            assert cone is not None
        return _Cell(cone, np.zeros(self.prefixes.gains.shape[1]), [], [], [])

    def children(self, cell: _Cell) -> list[_Cell]:
        """The cells of the next decision; the given one becomes one of them."""
        k = len(cell.bits)
        prefix, dynamics = self.prefixes.order[k], self.prefixes.dynamics
        if len(cell.spikes) == k:
            potential = self.prefixes.potential(k, cell.membranes, cell.spikes)
            parts = self._parts(cell, dynamics.firing(potential, prefix.t))
            for part, spike in parts:
                part.spikes.append(spike)
                part.membranes.append(dynamics.after(potential, prefix.t, spike=spike))
                if not (prefix.counts and self.reads_membrane):
                    self._read(part, k, bit=spike and prefix.counts)
        else:
            parts = self._parts(cell, dynamics.shown(cell.membranes[k], prefix.t))
            for part, bit in parts:
                self._read(part, k, bit=bit)
        return [part for part, _ in parts]

    def _read(self, cell: _Cell, k: int, *, bit: bool) -> None:
        cell.bits.append(bit)
        if bit:
            cell.value = cell.value + self.prefixes.gains[k]

    def _parts(self, cell: _Cell, form: Integers) -> list[tuple[_Cell, bool]]:
        above, below = cell.cone.cut(tuple(form.tolist()))
        parts = []
        if above is not None:
            parts.append((cell if below is None else cell.copy(), True))
            parts[-1][0].cone = above
        if below is not None:
            cell.cone = below
            parts.append((cell, False))
        return parts

    def keep(self, cell: _Cell) -> None:
        """Enter the pattern of a cell in which all is decided, unless that is known."""
        value = self.norm(np.abs(cell.value))
        if value > self.enough and all(cell.bits != other.bits for other in self.found):
            self.found.append(Found(value, cell.spikes, cell.bits))
            self.found.sort(key=lambda pattern: -pattern.value)
            del self.found[self.count :]


def best_patterns(
    prefixes: PricedPrefixes, norm: Callable[[Floats], float], *, enough: float, count: int, time_limit: float
) -> Priced:
    """Bound the norm of d^T U over the patterns d of one unit.

    Parameters
    ----------
    prefixes : PricedPrefixes
        Of the unit's input, with U.
    norm : callable (float64 array (C,)) -> float
        Of nonnegative numbers, in none of which it falls.
    enough : float
        Patterns worth no more need not be told apart.
    count : int
        Patterns to return at most.
    time_limit : float
        Seconds. The first pattern is found all the same.
    """
    search, until, ticket = _Search(prefixes, norm, enough, count), time.perf_counter() + time_limit, itertools.count()
    first = search.start()
    waiting, closed, leaves = [(-search.bound(first), next(ticket), first)], 0.0, 0
    while waiting and -waiting[0][0] > search.level * (1.0 + NEAR) and (time.perf_counter() < until or leaves == 0):
        _, _, cell = heapq.heappop(waiting)
        while True:
            if len(cell.bits) == len(prefixes.order):
                search.keep(cell)
                closed, leaves = max(closed, search.norm(np.abs(cell.value))), leaves + 1
                break
            parts = sorted(((search.bound(part), part) for part in search.children(cell)), key=lambda part: part[0])
            bound, cell = parts.pop()
            for other, part in parts:
                heapq.heappush(waiting, (-other, next(ticket), part))
            if bound <= search.level * (1.0 + NEAR):
                closed = max(closed, bound)
                break
    finished = not waiting or -waiting[0][0] <= search.level * (1.0 + NEAR)
    bound = max([closed, *(-entry[0] for entry in waiting[:1])])
    size = float(np.abs(prefixes.gains).sum()) * (len(prefixes.order) + 4) * float(np.finfo(np.float64).eps)
    return Priced(bound + search.norm(np.full(prefixes.gains.shape[1], size)), finished, tuple(search.found))
