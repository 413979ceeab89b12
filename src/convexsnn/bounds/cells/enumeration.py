"""All patterns of one kind of neurons, from the cells of its parameters along the tree of prefixes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.cells.deciding import Weights
from convexsnn.bounds.cells.regions import Cutting, Regions
from convexsnn.bounds.cells.states import States
from convexsnn.bounds.cells.tree import DecisionTree
from convexsnn.bounds.patterns.dynamics import Dynamics
from convexsnn.bounds.patterns.enumerate import Patterns

# Regions cut at once; more of them wait.
TOGETHER = 4096
# Random ways through the tree of regions from which their number is estimated.
DIVES = 256
# Patterns found after which equal ones are merged.
MERGED = 2**18


class CellEnumeration:
    """The cells of a unit.

    Attributes
    ----------
    tree : DecisionTree
        Says what the decisions of a pattern are.
    """

    def __init__(self, tree: DecisionTree[Dynamics]) -> None:
        self.tree = tree

    def _cutting(self) -> Cutting:
        """Nothing is priced: decisions on which most depend come first."""
        below = self.tree.sums_below(np.ones((self.tree.n_nodes, 1)))[:, 0]
        none = np.zeros((self.tree.n_nodes, 0))
        return Cutting(States(self.tree), Weights(none, none, none, np.ascontiguousarray(below)))

    def expected(self) -> float:
        """About how many cells there are: the mean over random ways of the product of the numbers of parts."""
        cutting, random, ended = self._cutting(), np.random.default_rng(0), 0.0
        start = cutting.start()
        regions = start.take(random.integers(len(start), size=DIVES))
        sizes = np.full(DIVES, float(len(start)))
        while len(regions):
            done = regions.standing.choice < 0
            ended += float(sizes[done].sum())
            regions, sizes = regions.take(np.flatnonzero(~done)), sizes[~done]
            if len(regions):
                parts, origin = cutting.cut(regions)
                counts = np.bincount(origin, minlength=len(regions))
                chosen = np.cumsum(counts) - counts + random.integers(counts)
                regions, sizes = parts.take(chosen), sizes * counts
        return ended / DIVES

    def patterns(self, on_visit: Callable[[int], object] = lambda _: None) -> Patterns:
        """All distinct columns, the silent one among them where it can be had; `on_visit` is told how many cells."""
        cutting, waiting, visited = self._cutting(), [], 0
        found: list[NDArray[np.uint8]] = []
        waiting.append(cutting.start())
        while waiting:
            regions = waiting.pop()
            done = regions.standing.choice < 0
            found.append(regions.open.bits[done])
            visited += int(done.sum())
            on_visit(visited)
            open_ = np.flatnonzero(~done)
            waiting += [regions.take(part) for part in (open_[TOGETHER:],) if len(part)]
            if len(open_):
                waiting.append(cutting.cut(_cuttable(regions.take(open_[:TOGETHER])))[0])
            if sum(map(len, found)) > MERGED + len(found[0]):
                found = [self._distinct(np.concatenate(found))]
        trains = self._distinct(np.concatenate(found))
        return Patterns(self._columns(trains), trains)

    def _columns(self, trains: NDArray[np.uint8]) -> NDArray[np.uint8]:
        parts = np.array_split(trains, len(trains) * self.tree.n_nodes // 2**26 + 1)
        unpack = lambda part: np.unpackbits(part, axis=1, count=self.tree.n_nodes)[:, self.tree.rows]  # noqa: E731
        return np.concatenate([np.packbits(unpack(part), axis=1) for part in parts])

    def _distinct(self, trains: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Trains of distinct columns, in the order of the first."""
        columns = np.ascontiguousarray(self._columns(trains))
        keys = columns.view(np.dtype((np.void, columns.shape[1]))).ravel()
        return trains[np.sort(np.unique(keys, return_index=True)[1])]


def _cuttable(regions: Regions) -> Regions:
    if not regions.cuttable.all():
        raise ValueError("cells of this family have more than 62 facets, which enumeration does not count: use pricing")
    return regions
