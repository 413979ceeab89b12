"""Batches of regions of parameters and leaks: in each, cells are alike for all leaks of an interval, or at one leak.

A region is cut by a decision where its form has one sign on each ray, for all leaks of the region. Else the interval
is split at a leak at which a sign changes. That leak is a root of a polynomial of integers, and need not be a
fraction: the two parts beside it end there, and a third part is of that leak alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.cells.cones import Cones
from convexsnn.bounds.cells.cutting import cut_cones
from convexsnn.bounds.cells.deciding import Open, Standing, Weights
from convexsnn.bounds.cells.exact_products import ExactProducts
from convexsnn.bounds.cells.moving import moving_signs
from convexsnn.bounds.cells.polynomials import CHANGING, DOUBTFUL
from convexsnn.bounds.cells.regions import Regions, advanced, decided, places_of, starting_orthants
from convexsnn.bounds.cells.roots import ABOVE, AT, BELOW, Roots, certain_sign
from convexsnn.bounds.cells.states import States
from convexsnn.bounds.patterns.moving import MovingDynamics
from convexsnn.rationals import Floats
from convexsnn.rationals.polynomials import Polynomial

# An interval so short, relatively, is not split: its regions keep all patterns that they may have.
SHORTEST = 2.0**-30
NONE = -1

Span = tuple[float, float, int, int]
"""x between two floats, the number of a root that ends the interval, or NONE, and on which side of it x is."""


@dataclass(frozen=True, eq=False)
class MovingRegions:
    """A batch of B regions.

    Attributes
    ----------
    still : Regions
        What they are for each leak.
    span : float64 array of shape (B, 4)
        The leaks of each; see `moving`.
    root, side : int64 arrays of shape (B,)
        As in `Span`.
    certain : bool array of shape (B,)
        Whether each part of the region is that of neurons; a region that was not split may have patterns of none.
    """

    still: Regions
    span: Floats
    root: NDArray[np.int64]
    side: NDArray[np.int64]
    certain: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.still)

    @property
    def open(self) -> Open:
        """See `Regions`."""
        return self.still.open

    @property
    def standing(self) -> Standing:
        """See `Regions`."""
        return self.still.standing

    @property
    def choice(self) -> NDArray[np.int64]:
        """See `Regions`."""
        return self.still.choice

    @property
    def cuttable(self) -> NDArray[np.bool_]:
        """See `Regions`."""
        return self.still.cuttable

    @property
    def x(self) -> Floats:
        """A point of the interval of each, or the float nearest to it."""
        return self.span[:, 2:].mean(axis=1)

    def take(self, index: NDArray[np.int64]) -> MovingRegions:
        """The regions at these places."""
        own = (self.span[index], self.root[index], self.side[index], self.certain[index])
        return MovingRegions(self.still.take(index), *own)

    @classmethod
    def joined(cls, many: list[MovingRegions]) -> MovingRegions:
        """All of them as one batch."""
        if len(many) == 1:
            return many[0]
        own = zip(*((each.span, each.root, each.side, each.certain) for each in many), strict=True)
        return cls(Regions.joined([each.still for each in many]), *map(np.concatenate, own))


class MovingCutting:
    """Regions of one unit whose leak is free, cut by one decision after another, and split where signs change.

    Parameters
    ----------
    states : States
        Of forms that move with the leak.
    weights : Weights
    reach : tuple of float
        The least and the largest x. 0 itself, and a leak at which nothing moves, are left to other regions.
    """

    def __init__(self, states: States, weights: Weights, reach: tuple[float, float]) -> None:
        self.states, self.weights, self._reach = states, weights, reach
        self._roots, self._products, dynamics = Roots(), ExactProducts(states), states.tree.dynamics
        if not isinstance(dynamics, MovingDynamics):
            raise TypeError("states must be of forms that move with the leak")
        self._leak_at = dynamics.leak_at

    def start(self) -> MovingRegions:
        """All parameters, and all leaks: as orthants, for the leaks within the range and those at its ends."""
        states, r = self.states, self.states.r
        cones, opened = starting_orthants(states, self.weights)
        length = (r - 1) * (states.tree.dynamics.length - 1) + 1
        ray = np.zeros((len(cones.ray), length * r + 1))
        ray[:, :r] = cones.ray[:, :-1]
        spans, B = self._whole(), len(opened.value)
        none = Standing(*np.zeros((2, B, 0)), *np.zeros((2, B), dtype=np.int64))
        still = Regions(cones._replace(ray=ray), opened, none).take(np.repeat(np.arange(B), len(spans)))
        return self._over(still, spans * B, np.ones(B * len(spans), dtype=bool))

    def cut(self, regions: MovingRegions) -> tuple[MovingRegions, NDArray[np.int64]]:
        """The parts of regions, all of which have something to decide, and which region each is a part of."""
        cones, chosen = regions.still.cones, regions.standing.choice
        signs = moving_signs(cones, self.states.table(), regions.span, chosen, self.states.r)
        changing = self._fill(regions, signs)
        whole = np.setdiff1d(np.arange(len(regions)), list(changing))
        parts, origins = [], []
        if len(whole):
            part, origin = self._cut(regions.take(whole), signs[places_of(cones.rays, whole)[0]])
            parts.append(part)
            origins.append(whole[origin])
        split = {b: self._split(p, regions, b) for b, p in changing.items()}
        kept = np.repeat([b for b, spans in split.items() if not spans], 2).astype(np.int64)
        if len(kept):
            parts.append(self._both_ways(regions.take(kept)))
            origins.append(kept)
        index = np.array([b for b, spans in split.items() for _ in spans], dtype=np.int64)
        if len(index):
            some = regions.take(index)
            parts.append(self._over(some.still, [span for spans in split.values() for span in spans], some.certain))
            origins.append(index)
        return MovingRegions.joined(parts), np.concatenate(origins)

    def neurons(self, regions: MovingRegions) -> Floats:
        """Parameters of a neuron in the middle of each region, with its leak as the last: (r + 1, B)."""
        p = self.states.parameters(_middles(regions.still.cones, regions.x, self.states.r))
        return np.concatenate([p, [[self._leak_at(x) for x in regions.x.tolist()]]])

    def leak_of(self, regions: MovingRegions, k: int) -> float:
        """A leak of a region, of few digits where the region is of several."""
        low, high, x = *regions.span[k, :2].tolist(), float(regions.x[k])
        if regions.side[k] != AT:
            for places in range(1, 53):
                short = round(x * 2.0**places) / 2.0**places
                if low + (x - low) / 2 < short < high - (high - x) / 2:
                    x = short
                    break
        return self._leak_at(x)

    def _whole(self) -> list[Span]:
        """All leaks: those within the range, and those at its ends but 0."""
        low, high = self._reach
        end = self._roots.exactly(high)
        ends: list[Span] = [self._at(end)]
        if low == 0.0:
            return [(0.0, self._roots[end].high, end, BELOW), *ends]
        start, middle = self._roots.exactly(low), 0.5 * (low + high)
        return [(low, middle, start, ABOVE), (middle, self._roots[end].high, end, BELOW), self._at(start), *ends]

    def _at(self, number: int) -> Span:
        root = self._roots[number]
        return root.low, root.high, number, AT

    def _fill(self, regions: MovingRegions, signs: NDArray[np.int8]) -> dict[int, Polynomial]:
        """Put in the signs that floats do not tell; a polynomial that changes its sign, of each region with one."""
        unsure = np.flatnonzero((signs == DOUBTFUL) | (signs == CHANGING))
        at = {
            int(b): self._roots[int(regions.root[b])]
            for b in np.flatnonzero((regions.root >= 0) & (regions.side == AT))
        }
        found = self._products.of(regions.still.cones, regions.span, regions.standing.choice, unsure, at)
        changing: dict[int, Polynomial] = {}
        for i, (b, p) in zip(unsure.tolist(), found, strict=True):
            sign = self._sign(p, regions.span[b].tolist(), int(regions.root[b]), int(regions.side[b]))
            if sign is None:
                changing.setdefault(b, p)
            else:
                signs[i] = sign
        return changing

    def _sign(self, p: Polynomial, span: list[float], number: int, side: int) -> int | None:
        if number == NONE:
            return certain_sign(p, span[0], span[1])
        return self._roots[number].sign(p, side, 0.0 if side == AT else span[0] if side == BELOW else span[1])

    def _cut(self, regions: MovingRegions, signs: NDArray[np.int8]) -> tuple[MovingRegions, NDArray[np.int64]]:
        table, chosen, span = self.states.table(), regions.standing.choice, regions.span
        cones, origin, fires = cut_cones(regions.still.cones, table, chosen, signs, span, self.states.r)
        opened = decided(regions.still, origin, fires, table, self.weights)
        return self._advanced(cones, opened, regions.take(origin)), origin

    def _both_ways(self, regions: MovingRegions) -> MovingRegions:
        """Regions that come twice each, with either decision: no pattern is lost, and some may be of no neuron."""
        fires = np.arange(len(regions)) % 2 == 0
        opened = decided(regions.still, np.arange(len(regions)), fires, self.states.table(), self.weights)
        return self._advanced(regions.still.cones, opened, replace(regions, certain=np.zeros(len(regions), dtype=bool)))

    def _split(self, p: Polynomial, regions: MovingRegions, b: int) -> list[Span]:
        """The parts of a region's interval at a root of p, or at its middle; none where it is too short."""
        low, high = regions.span[b, :2].tolist()
        number, side = int(regions.root[b]), int(regions.side[b])
        if number != NONE and side == AT:
            return []
        own = self._roots[number] if number != NONE else None
        first = own.high if own is not None and side == ABOVE else low
        last = own.low if own is not None and side == BELOW else high
        if last - first <= SHORTEST * last:
            return []
        left, right = (number if side == ABOVE else NONE), (number if side == BELOW else NONE)
        found = self._roots.between(p, first, last)
        if not found:
            middle = 0.5 * (first + last)
            return [(low, middle, left, ABOVE), (middle, high, right, BELOW)]
        k = found[len(found) // 2]
        root = self._roots[k]
        below: list[Span] = [(low, root.high, k, BELOW)]
        above: list[Span] = [(root.low, high, k, ABOVE)]
        if left != NONE:  # an interval ends at one root only
            middle = 0.5 * (first + root.low)
            below = [(low, middle, left, ABOVE), (middle, root.high, k, BELOW)]
        if right != NONE:
            middle = 0.5 * (root.high + last)
            above = [(root.low, middle, k, ABOVE), (middle, high, right, BELOW)]
        return [*below, self._at(k), *above]

    def _over(self, still: Regions, spans: list[Span], certain: NDArray[np.bool_]) -> MovingRegions:
        """Regions of these leaks, which were known of more leaks."""
        span = np.array([(*each[:2], *self._inside(each)) for each in spans])
        root, side = (np.array([each[k] for each in spans], dtype=np.int64) for k in (2, 3))
        return self._advanced(still.cones, still.open, MovingRegions(still, span, root, side, certain))

    def _inside(self, span: Span) -> tuple[float, float]:
        """A point within, twice; of a single leak an interval around it."""
        low, high, number, side = span
        if number != NONE:
            root = self._roots[number]
            if side == AT:
                return root.low, root.high
            low, high = (low, root.low) if side == BELOW else (root.high, high)
        middle = 0.5 * (low + high)
        return middle, middle

    def _advanced(self, cones: Cones, opened: Open, regions: MovingRegions) -> MovingRegions:
        """What regions are whose geometry and decisions became others."""
        return replace(regions, still=advanced(self.states, self.weights, cones, opened, regions.span))


def _middles(cones: Cones, x: Floats, r: int) -> Floats:
    """A point in the middle of each region at x (B,): (B, r)."""
    counts = np.diff(cones.rays)
    powers = np.repeat(x, counts)[:, None] ** np.arange((cones.ray.shape[1] - 1) // r)
    values = np.einsum("ink,in->ik", cones.ray[:, :-1].reshape(len(cones.ray), -1, r), powers)
    sizes = np.abs(values).sum(axis=1, keepdims=True)
    middles = np.zeros((len(x), r))
    np.add.at(middles, np.repeat(np.arange(len(x)), counts), values / np.where(sizes > 0.0, sizes, 1.0))
    return middles
