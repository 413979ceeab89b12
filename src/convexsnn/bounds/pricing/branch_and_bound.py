"""The best pattern of one neuron by branch and bound over cells, with a bound that holds even when it is stopped early.

All neurons that decide alike so far are a region of parameters. No pattern of a region is worth more than what is
decided, and the better sign of all that is open: a region whose bound does not exceed what has been found is closed,
and all its neurons with it. Of the others those of the largest bounds are cut next, each by the open decision that
counts most and halves it best. A neuron in the middle of a region shows a good pattern long before all of it is
decided.
"""

from __future__ import annotations

import heapq
import itertools
import time
from dataclasses import dataclass
from typing import Generic

import numpy as np

from convexsnn.bounds.pricing.protocol import B, Found, Pricing
from convexsnn.rationals import Floats

# A region is closed when its bound is within so much of what has been found, relatively.
NEAR = 1e-10
# A dual vector that is feasible with so much room is found to be feasible when it is priced anew: see `exact_oracle`.
ROOM = 4.0 * NEAR
# Regions cut together, regions that wait together, and neurons of their middles that are run each time.
TOGETHER, WAITING, TRIED = 1024, 256, 32


@dataclass(frozen=True, eq=False)
class Priced:
    """What is known of the best pattern of a unit.

    Attributes
    ----------
    bound : float
        No pattern of the unit is worth more.
    finished : bool
        Whether all regions were closed.
    found : tuple of Found
        The best patterns that were met, best first, each worth more than `enough`.
    """

    bound: float
    finished: bool
    found: tuple[Found, ...]


@dataclass(frozen=True)
class Goal:
    """When to stop.

    Attributes
    ----------
    enough : float
        Patterns worth no more need not be told apart.
    count : int
        Patterns to return at most.
    time_limit : float
        Seconds. The first regions are looked at all the same.
    """

    enough: float
    count: int
    time_limit: float


def best_patterns(cells: Pricing[B], goal: Goal) -> Priced:
    """Bound the norm of d^T U over the patterns d of one unit."""
    search, until = _Search(cells, goal), time.perf_counter() + goal.time_limit
    search.put(cells.start())
    while search.open:
        search.step()
        if time.perf_counter() > until:
            break
    bound = max(search.closed, search.largest)
    return Priced(bound + cells.rounding, search.largest <= search.level and not search.stuck, search.best())


class _Search(Generic[B]):
    """Regions that wait to be cut, in batches of about equal bounds, and the patterns found.

    Attributes
    ----------
    closed : float
        No pattern of the regions that were closed is worth more.
    found : dict
        By column.
    stuck : bool
        Whether a region was closed that could not be cut, or may have patterns of no neuron.
    """

    def __init__(self, cells: Pricing[B], goal: Goal) -> None:
        self.cells, self.goal = cells, goal
        self.closed, self.stuck = 0.0, False
        self.found: dict[bytes, Found] = {}
        self._best, self._tickets = goal.enough, itertools.count()
        self._idle, self._pause = 0, 1
        self._waiting: list[tuple[float, int, B, Floats]] = []

    @property
    def level(self) -> float:
        """What a region must exceed."""
        return self._best * (1.0 + NEAR)

    @property
    def largest(self) -> float:
        """The largest bound of the regions that wait."""
        return -self._waiting[0][0] if self._waiting else 0.0

    @property
    def open(self) -> bool:
        """Whether a region that waits exceeds the level."""
        return bool(self._waiting) and self.largest > self.level

    def best(self) -> tuple[Found, ...]:
        """The patterns found, best first."""
        return tuple(sorted(self.found.values(), key=lambda found: -found.value)[: self.goal.count])

    def put(self, regions: B) -> None:
        """Close what can be closed, keep the patterns that are decided, and let the rest wait."""
        bounds = self.cells.bounds(regions)
        decided = (regions.choice < 0) & (bounds > self.goal.enough)
        leaves = np.flatnonzero(decided & regions.certain)
        self.stuck |= len(leaves) < int(decided.sum())
        for k in leaves[np.argsort(-bounds[leaves])][: self.goal.count].tolist():
            self._keep(self.cells.decided(regions, k, float(bounds[k])))
        order = np.argsort(-bounds, kind="stable")
        over = (bounds > self.level) & (regions.choice >= 0)
        self._tried(regions.take(order[over[order]][:TRIED]))
        over &= bounds > self.level
        self._close(bounds[~over])
        order = order[over[order]]
        for part in np.array_split(order, -(-len(order) // WAITING)) if len(order) else ():
            heapq.heappush(
                self._waiting, (-float(bounds[part[0]]), next(self._tickets), regions.take(part), bounds[part])
            )

    def step(self) -> None:
        """Cut regions of the largest bounds."""
        batch = []
        while self.open and sum(len(regions) for regions in batch) < TOGETHER:
            _, _, regions, bounds = heapq.heappop(self._waiting)
            over = bounds > self.level
            self._close(bounds[~over])
            batch.append(regions if over.all() else regions.take(np.flatnonzero(over)))
        regions = batch[0].joined(batch)
        whole = regions.cuttable
        if not whole.all():
            self.stuck = True
            self._close(self.cells.bounds(regions)[~whole])
            regions = regions.take(np.flatnonzero(whole))
        if len(regions):
            self.put(self.cells.cut(regions))

    def _close(self, bounds: Floats) -> None:
        self.closed = max(self.closed, float(bounds.max(initial=0.0)))

    def _tried(self, regions: B) -> None:
        """Run neurons of the middles of regions: less and less often while they show nothing new."""
        self._idle += 1
        if len(regions) == 0 or self._idle < self._pause:
            return
        before, self._idle = len(self.found), 0
        for found in self.cells.tried(regions):
            if found.value > self.goal.enough:
                self._keep(found)
        self._pause = 1 if len(self.found) > before else 2 * self._pause

    def _keep(self, found: Found) -> None:
        key = np.packbits(found.column).tobytes()
        if key not in self.found or self.found[key].p is None:
            self.found[key] = found
            self._best = max(self._best, found.value)
