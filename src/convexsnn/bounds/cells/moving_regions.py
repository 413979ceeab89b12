from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from convexsnn.bounds.cells.cutting import MOST_FACETS, Cones
from convexsnn.bounds.cells.deciding import Open, Standing, Weights
from convexsnn.bounds.cells.moving import MovingTable, cut_moving, decide_moving, moving_signs, products
from convexsnn.bounds.cells.regions import Regions, _parts
from convexsnn.bounds.cells.states import _grown, _scales
from convexsnn.bounds.patterns.moving import MovingDynamics
from convexsnn.bounds.cells.events import Events, certain_sign
from convexsnn.rationals import primitive
from convexsnn.rationals.polynomials import reduced

TINY = 2.0**-20
EXACT_BITS = 30


class MovingStates:
    def __init__(self, tree, side, length):
        """tree: with still dynamics"""
        self.tree, self.dynamics = tree, MovingDynamics(tree.dynamics, side, length)
        self.r, self.K = tree.dynamics.n_parameters, length
        r, K = self.r, length
        self._scales = np.tile(_scales(tree), K)
        self._count = r
        self._node, self._next = np.full(r, -1), np.full((r, 2), -1)
        signs = np.array([-1 if k == tree.dynamics.theta else 1 for k in range(r)])
        self._form = np.zeros((r, K * r))
        self._form[:, :r] = np.diag(signs.astype(float))
        self._error = np.zeros(r)
        self.lines = [tuple(int(v) for v in row) for row in self._form]
        self._potential = np.zeros((r, K * r), dtype=object)
        roots = np.arange(tree.n_roots)
        self._append(roots, self.dynamics.start((len(roots),)), np.zeros(len(roots), dtype=bool))

    @property
    def roots(self):
        return self.r + np.arange(self.tree.n_roots)

    def table(self):
        n = self._count
        return MovingTable(self._node[:n], self._form[:n], self._error[:n], self._next[:n], self.tree.first)

    def make(self, states, spikes):
        tree, dynamics = self.tree, self.dynamics
        node = self._node[states]
        for t in np.unique(tree.t[node]).tolist():
            for spike in (False, True):
                group = states[(tree.t[node] == t) & (spikes == spike)]
                if len(group):
                    self._follow(group, dynamics.after(self._potential[group], t, spike=spike), spike=spike)

    def _follow(self, states, membranes, *, spike):
        first, node = self.tree.first, self._node[states]
        counts = first[node + 1] - first[node]
        starts = np.cumsum(counts) - counts
        self._next[states, int(spike)] = self._count + starts
        within = np.arange(counts.sum()) - np.repeat(starts, counts)
        nodes = np.repeat(first[node], counts) + within
        self._append(nodes, np.repeat(membranes, counts, axis=0), np.full(len(nodes), spike))

    def _append(self, nodes, membranes, spiked):
        tree, dynamics = self.tree, self.dynamics
        potential, form = membranes.copy(), membranes.copy()
        for t in np.unique(tree.t[nodes]).tolist():
            here = tree.t[nodes] == t
            fires, reads = np.flatnonzero(here & ~tree.reads[nodes]), np.flatnonzero(here & tree.reads[nodes])
            if len(fires):
                potential[fires] = dynamics.potential(tree.x[nodes[fires]], membranes[fires], spiked[fires], t)
                form[fires] = dynamics.firing(potential[fires], t)
            if len(reads):
                form[reads] = dynamics.shown(membranes[reads], t)
        rows, near, error = [], [], []
        for row in (form * self._scales).tolist():
            row = tuple(primitive(row))
            bits = max(abs(v) for v in row).bit_length()
            if bits <= EXACT_BITS:
                near.append([float(v) for v in row]); error.append(0.0)
            else:
                f = [float(Fraction(v, 1 << bits)) for v in row]
                near.append(f); error.append(1.01 * 2.0**-53 * sum(map(abs, f)) + 1e-300)
            rows.append(row)
        self.lines += rows
        self._count += len(nodes)
        self._node, self._next = _grown(self._node, nodes), _grown(self._next, np.full((len(nodes), 2), -1))
        self._form, self._error = _grown(self._form, np.array(near)), _grown(self._error, np.array(error))
        self._potential = _grown(self._potential, potential)


@dataclass(frozen=True, eq=False)
class MovingRegions:
    regions: Regions
    span: np.ndarray
    relaxed: np.ndarray
    event: np.ndarray  # (B, 2): number and side; -1 none

    def __len__(self):
        return len(self.regions)

    @property
    def open(self): return self.regions.open
    @property
    def standing(self): return self.regions.standing
    @property
    def cones(self): return self.regions.cones
    @property
    def cuttable(self): return self.regions.cuttable
    def take(self, index):
        return MovingRegions(self.regions.take(index), self.span[index], self.relaxed[index], self.event[index])
    @classmethod
    def joined(cls, many):
        return cls(Regions.joined([m.regions for m in many]), np.concatenate([m.span for m in many]), np.concatenate([m.relaxed for m in many]), np.concatenate([m.event for m in many]))


class MovingCutting:
    def __init__(self, states, weights, reach):
        self.states, self.weights, self.reach = states, weights, reach
        self.events = Events()
        self.splits = self.relaxations = self.cuts = self.doubts = 0

    def start(self):
        states, r = self.states, self.states.r
        theta, roots = states.tree.dynamics.theta, states.roots
        signs = np.array([s for s in itertools.product((1, -1), repeat=r) if theta is None or s[theta] > 0])
        n = len(signs)
        N = (r - 1) * (states.K - 1) + 1
        ray = np.zeros((n, r, N * r + 1))
        ray[:, np.arange(r), np.arange(r)] = signs
        ray = ray.reshape(n * r, -1)
        zeros = np.array([~(1 << k) & ((1 << r) - 1) for k in range(r)] * n, dtype=np.uint64)
        strict = (signs < 0) | (np.arange(r) == theta)
        B = n + (theta is None)
        ends = np.minimum(np.arange(B + 1), n) * r
        cones = Cones(ray, zeros, ends, (2 * np.arange(r) + strict).ravel(), ends)
        bits = np.zeros((B, (states.tree.n_nodes + 7) // 8), dtype=np.uint8)
        value = np.zeros((B, self.weights.gain.shape[1]))
        span = np.tile([0.0, self.reach], (B, 1))
        opened = Open(np.tile(roots, B), len(roots) * np.arange(B + 1), bits, value)
        return self._advanced(cones, opened, span, np.zeros(B, dtype=bool), np.tile([-1, 0], (B, 1)))

    def signs(self, cones, span, event, chosen):
        """Signs, and the polynomial of the first ray of unknown sign of each region."""
        table, r = self.states.table(), self.states.r
        signs = moving_signs(cones, table, span, chosen, r)
        open_ = np.flatnonzero(signs >= 2)
        polys = {}
        if len(open_):
            owner = np.searchsorted(cones.rays, open_, side="right") - 1
            rows = products(cones, table, chosen[owner], open_, r)
            assert not rows[:, -1].any(), "exact todo"
            self.doubts += len(open_)
            for i, b, row in zip(open_.tolist(), owner.tolist(), rows[:, :-1].astype(np.int64).tolist()):
                p = reduced(row)
                e, side = event[b]
                s = self.events.all[e].sign(p, int(side), *span[b].tolist()) if e >= 0 else None
                signs[i] = 3 if s is None else s
                if s is None:
                    polys.setdefault(b, p)
        return signs, polys

    def cut(self, regions):
        cones, span, chosen, event = regions.cones, regions.span, regions.standing.choice, regions.event
        table, r = self.states.table(), self.states.r
        signs, polys = self.signs(cones, span, event, chosen)
        unknown = np.zeros(len(chosen), dtype=bool)
        unknown[list(polys)] = True
        known = np.flatnonzero(~unknown)
        parts, origins = [], []
        if len(known):
            self.cuts += len(known)
            some = regions.take(known)
            picked, _ = _parts(cones.rays, known)
            c = cut_moving(some.cones, table, some.span, some.standing.choice, signs[picked], r)
            parts.append(self._decided(some, c.origin, c.fires, c.cones)); origins.append(known[c.origin])
        thin, index, spans, events = [], [], [], []
        for b, p in polys.items():
            found = self._split(p, *span[b].tolist(), *event[b].tolist())
            if found is None:
                thin.append(b)
                continue
            self.splits += 1
            for lo, hi, e, side in found:
                index.append(b); spans.append((lo, hi)); events.append((e, side))
        if thin:
            thin = np.array(thin)
            self.relaxations += len(thin)
            some = regions.take(np.repeat(thin, 2))
            fires = np.tile([True, False], len(thin))
            relaxed = replace_relaxed(some)
            parts.append(self._decided(relaxed, np.arange(len(fires)), fires, some.cones)); origins.append(np.repeat(thin, 2))
        if index:
            index = np.array(index)
            new = regions.take(index)
            parts.append(self._advanced(new.cones, new.open, np.array(spans), new.relaxed, np.array(events))); origins.append(index)
        return MovingRegions.joined(parts), np.concatenate(origins)

    def _split(self, p, a, b, e, side):
        """Parts of a span."""
        all_ = self.events.all
        if side == 0 and e >= 0:
            return None
        low, high = a, b  # where roots are looked for
        if e >= 0 and side < 0:
            high = all_[e].low
        if e >= 0 and side > 0:
            low = all_[e].high
        if high - low <= TINY * high:
            return None
        found = self.events.between(p, low, high)
        if not found:
            c = 0.5 * (low + high)
            return [(a, c, e if side > 0 else -1, side if side > 0 else 0), (c, b, e if side < 0 else -1, side if side < 0 else 0)]
        k = found[len(found) // 2]
        f = all_[k]
        out = [(f.low, f.high, k, 0)]
        if e >= 0 and side > 0:
            c = 0.5 * (low + f.low)
            out += [(a, c, e, side), (c, f.high, k, -1)]
        else:
            out += [(a, f.high, k, -1)]
        if e >= 0 and side < 0:
            c = 0.5 * (f.high + high)
            out += [(f.low, c, k, 1), (c, b, e, side)]
        else:
            out += [(f.low, b, k, 1)]
        return out

    def _decided(self, regions, origin, fires, cones):
        chosen, table = regions.standing.choice, self.states.table()
        o = regions.open
        places, entries = _parts(o.entries, origin)
        entry = o.entry[places]
        owner = np.repeat(np.arange(len(origin)), np.diff(entries))
        hit = entry == chosen[origin][owner]
        entry[hit] = -(2 * chosen[origin] + fires) - 1
        bits, value = o.bits[origin], o.value[origin]
        node = table.node[chosen[origin]]
        loud = np.flatnonzero(fires)
        bits[loud, node[loud] >> 3] |= (128 >> (node[loud] & 7)).astype(np.uint8)
        value[loud] += self.weights.gain[node[loud]]
        return self._advanced(cones, Open(entry, entries, bits, value), regions.span[origin], regions.relaxed[origin], regions.event[origin])

    def _advanced(self, cones, opened, span, relaxed, event):
        r = self.states.r
        while True:
            opened, standing = decide_moving(cones, span, opened, self.states.table(), self.weights, r)
            if not standing.waiting.any():
                return MovingRegions(Regions(cones, opened, standing), span, relaxed, event)
            entry = opened.entry
            wanted = -np.unique(entry[entry < 0]) - 1
            self.states.make(wanted >> 1, (wanted & 1).astype(bool))


def replace_relaxed(some):
    return replace(some, relaxed=np.ones(len(some), dtype=bool))
