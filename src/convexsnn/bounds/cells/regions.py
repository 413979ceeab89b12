"""Batches of regions of a neuron's parameters, in each of which some decisions are taken."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.cells.cones import MOST_FACETS, Cones, FormTable
from convexsnn.bounds.cells.cutting import cut_cones, doubt_of, signs_of
from convexsnn.bounds.cells.deciding import Open, Standing, Weights, decide_further
from convexsnn.bounds.cells.exact_signs import ExactSigns
from convexsnn.bounds.cells.states import States


@dataclass(frozen=True, eq=False)
class Regions:
    """A batch of regions."""

    cones: Cones
    open: Open
    standing: Standing

    def __len__(self) -> int:
        return len(self.open.value)

    def take(self, index: NDArray[np.int64]) -> Regions:
        """The regions at these places."""
        c, o = self.cones, self.open
        ray, rays = places_of(c.rays, index)
        facet, facets = places_of(c.facets, index)
        entry, entries = places_of(o.entries, index)
        cones = Cones(c.ray[ray], c.zeros[ray], rays, c.facet[facet], facets)
        opened = Open(o.entry[entry], entries, o.bits[index], o.value[index])
        return Regions(cones, opened, Standing(*(part[index] for part in self.standing)))

    @property
    def choice(self) -> NDArray[np.int64]:
        """The state to decide next; -1 where none is open: (B,)."""
        return self.standing.choice

    @property
    def certain(self) -> NDArray[np.bool_]:
        """Whether each part of the region is that of neurons: (B,)."""
        return np.ones(len(self), dtype=bool)

    @property
    def cuttable(self) -> NDArray[np.bool_]:
        """Which have few enough facets to be cut: (B,)."""
        return np.diff(self.cones.facets) < MOST_FACETS

    def middles(self) -> NDArray[np.float64]:
        """A point in the middle of each: (B, r)."""
        ray = self.cones.ray[:, :-1]
        return np.add.reduceat(ray, self.cones.rays[:-1], axis=0)

    @classmethod
    def joined(cls, many: list[Regions]) -> Regions:
        """All of them as one batch."""
        if len(many) == 1:
            return many[0]
        c, o = [each.cones for each in many], [each.open for each in many]
        join = lambda parts: np.concatenate(list(parts))  # noqa: E731
        cones = Cones(
            join(x.ray for x in c), join(x.zeros for x in c), _joined_starts([x.rays for x in c]),
            join(x.facet for x in c), _joined_starts([x.facets for x in c]),
        )  # fmt: skip
        opened = Open(
            join(x.entry for x in o), _joined_starts([x.entries for x in o]), join(x.bits for x in o),
            join(x.value for x in o),
        )  # fmt: skip
        return cls(cones, opened, Standing(*map(np.concatenate, zip(*(each.standing for each in many), strict=True))))


def places_of(starts: NDArray[np.int64], index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the entries of some regions are, and their starts among these."""
    counts = starts[index + 1] - starts[index]
    ends = np.cumsum(counts)
    places = np.arange(counts.sum()) + np.repeat(starts[index] - ends + counts, counts)
    return places, np.concatenate([[0], ends])


def _joined_starts(many: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    shifts = np.cumsum([0, *(starts[-1] for starts in many)])
    return np.concatenate([[0], *(starts[1:] + shift for starts, shift in zip(many, shifts, strict=False))])


class Cutting:
    """Regions of one unit, cut by one decision after another."""

    def __init__(self, states: States, weights: Weights) -> None:
        self.states, self.weights, self.exact = states, weights, ExactSigns(states)

    def start(self) -> Regions:
        """All parameters."""
        return advanced(self.states, self.weights, *starting_orthants(self.states, self.weights))

    def cut(self, regions: Regions) -> tuple[Regions, NDArray[np.int64]]:
        """The parts of regions, all of which have something to decide, and which region each is a part of."""
        cones, chosen = regions.cones, regions.standing.choice
        table = self.states.table()
        signs = signs_of(cones, table.form, chosen)
        self.exact.fill(cones, chosen, signs)
        parts, origin, fires = cut_cones(cones, table, chosen, signs)
        opened = decided(regions, origin, fires, table, self.weights)
        return advanced(self.states, self.weights, parts, opened), origin

    def neurons(self, regions: Regions) -> NDArray[np.float64]:
        """Parameters of a neuron in the middle of each region: (r, B)."""
        return self.states.parameters(regions.middles())

    def leak_of(self, regions: Regions, k: int) -> float:  # noqa: ARG002 - all regions are of one leak
        """The leak of a region."""
        return self.states.tree.dynamics.unit.leak


def advanced(
    states: States, weights: Weights, cones: Cones, opened: Open, span: NDArray[np.float64] | None = None
) -> Regions:
    """What regions are whose geometry and decisions became others; `span` as in `cut_cones`."""
    while True:
        opened, standing = decide_further(cones, opened, states.table(), weights, span, states.r)
        if not standing.waiting.any():
            return Regions(cones, opened, standing)
        states.make_waiting(opened.entry)


def starting_orthants(states: States, weights: Weights) -> tuple[Cones, Open]:
    """All parameters: as orthants, and the origin, a region without rays, where there is no threshold."""
    r, theta, roots = states.r, states.tree.dynamics.theta, states.roots
    signs = np.array([s for s in itertools.product((1, -1), repeat=r) if theta is None or s[theta] > 0])
    n = len(signs)
    ray = np.concatenate([signs[:, :, None] * np.eye(r), np.full((n, r, 1), doubt_of(r))], axis=2).reshape(-1, r + 1)
    zeros = np.array([~(1 << k) & ((1 << r) - 1) for k in range(r)] * n, dtype=np.uint64)
    strict = (signs < 0) | (np.arange(r) == theta)
    B = n + (theta is None)
    ends = np.minimum(np.arange(B + 1), n) * r
    cones = Cones(ray, zeros, ends, (2 * np.arange(r) + strict).ravel(), ends)
    bits = np.zeros((B, (states.tree.n_nodes + 7) // 8), dtype=np.uint8)
    value = np.zeros((B, weights.gain.shape[1]))
    return cones, Open(np.tile(roots, B), len(roots) * np.arange(B + 1), bits, value)


def decided(
    regions: Regions, origin: NDArray[np.int64], fires: NDArray[np.bool_], table: FormTable, weights: Weights
) -> Open:
    """What parts of regions have decided and have open, once the chosen decision of each is taken."""
    chosen, o = regions.standing.choice, regions.open
    # the chosen entry becomes a decided one
    places, entries = places_of(o.entries, origin)
    entry = o.entry[places]
    owner = np.repeat(np.arange(len(origin)), np.diff(entries))
    hit = entry == chosen[origin][owner]
    entry[hit] = -(2 * chosen[origin] + fires) - 1
    bits, value = o.bits[origin], o.value[origin]
    node = table.node[chosen[origin]]
    loud = np.flatnonzero(fires)
    bits[loud, node[loud] >> 3] |= (128 >> (node[loud] & 7)).astype(np.uint8)
    value[loud] += weights.gain[node[loud]]
    return Open(entry, entries, bits, value)
