"""The decisions of a neuron on the prefixes of its input, parent before child, and what hangs on those still open."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from convexsnn.bounds.family import NetworkFamily, Unit
from convexsnn.bounds.patterns.dynamics import Conditions, Dynamics
from convexsnn.bounds.patterns.trees import Inputs, distinct_inputs
from convexsnn.prefixes import equal_prefixes
from convexsnn.rationals import Floats, Integers
from convexsnn.sequences import Sequences


@dataclass(frozen=True, eq=False)
class Prefix:
    """A beginning of input that sequences share.

    Attributes
    ----------
    parent : int
        The prefix one step shorter, by its place in the order; -1 for those of one step.
    x : integer array of shape (d,)
        The last step.
    t : int
        Its number, from 0.
    counts : bool
        Whether a row is read here.
    """

    parent: int
    x: Integers
    t: int
    counts: bool


@dataclass(frozen=True, eq=False)
class PricedPrefixes:
    """All prefixes of a unit's input in the order in which they are decided.

    Attributes
    ----------
    dynamics : Dynamics
    order : tuple of Prefix
    gains : float64 array of shape (k, C)
        Of each prefix, the sum of U over the rows that read it.
    rows : int64 array of shape (rows,)
        The prefix that each dictionary row reads.
    """

    dynamics: Dynamics
    order: tuple[Prefix, ...]
    gains: Floats
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, unit: Unit, family: NetworkFamily, sequences: Sequences, U: Floats) -> PricedPrefixes:
        """The prefixes of these sequences; those on which most of U (rows, C) hangs come first."""
        inputs = distinct_inputs(unit, family, sequences)
        nodes = _nodes(inputs)
        read, k = nodes[inputs.sequence, inputs.step], int(nodes.max()) + 1
        gains = np.zeros((k, U.shape[1]))
        np.add.at(gains, read, U)
        dynamics = Dynamics.of(unit, family, inputs.values)
        parents, last = np.full(k, -1), {}
        for i, length in enumerate(inputs.lengths.tolist()):
            for t in range(length):
                last[int(nodes[i, t])] = i, t
                parents[nodes[i, t]] = nodes[i, t - 1] if t else -1
        order = _by_weight(parents, np.abs(gains).sum(axis=1), np.unique(read))
        place = np.full(k, -1)
        place[order] = np.arange(len(order))
        counts = np.isin(order, read)
        place_of = lambda node: int(place[node]) if node >= 0 else -1  # noqa: E731
        prefixes = tuple(
            Prefix(place_of(parents[node]), dynamics.values[last[node]], last[node][1], c)
            for node, c in zip(order, counts.tolist(), strict=True)
        )
        return cls(dynamics, prefixes, gains[order], place[read])

    def potential(self, k: int, membranes: list[Integers], spikes: list[bool]) -> Integers:
        """The potential on prefix k, given the membranes and spikes of those before it."""
        prefix = self.order[k]
        start = prefix.parent < 0
        membrane = self.dynamics.start() if start else membranes[prefix.parent]
        return self.dynamics.potential(prefix.x, membrane, not start and spikes[prefix.parent], prefix.t)

    def conditions(self, spikes: list[bool], bits: list[bool]) -> Conditions:
        """What a neuron meets that spikes so, and of which these bits are read."""
        forms, shifts, decided, membranes = [], [], [], []
        for k, prefix in enumerate(self.order):
            potential = self.potential(k, membranes, spikes)
            forms.append(self.dynamics.firing(potential, prefix.t))
            decided.append(spikes[k])
            membranes.append(self.dynamics.after(potential, prefix.t, spike=spikes[k]))
            if prefix.counts and self.dynamics.family.reads_membrane:
                forms.append(self.dynamics.shown(membranes[k], prefix.t))
                decided.append(bits[k])
            shifts += [self.dynamics.leak_shift * prefix.t] * (len(forms) - len(shifts))
        return Conditions(np.stack(forms), np.array(shifts), np.array(decided, dtype=bool))


def _nodes(inputs: Inputs) -> NDArray[np.int64]:
    """A number for each prefix of each sequence, equal where the prefixes are: (m, T), -1 beyond the length."""
    lengths = torch.from_numpy(inputs.lengths)
    groups = equal_prefixes(Sequences(torch.from_numpy(inputs.values), lengths), every_step=True).numpy()
    m, T = inputs.values.shape[:2]
    nodes = np.full((m, T), -1)
    nodes[np.arange(T) < inputs.lengths[:, None]] = groups
    return nodes


def _by_weight(parents: NDArray[np.int64], own: Floats, read: NDArray[np.int64]) -> NDArray[np.int64]:
    """An order of the nodes that lead to one that is read: parents first, and of those open the heaviest subtree."""
    used, weight = np.zeros(len(parents), dtype=bool), own.copy()
    for node in read.tolist():
        at = node
        while at >= 0:
            used[at] = True
            if at != node:
                weight[at] += own[node]
            at = parents[at]
    children: dict[int, list[int]] = {}
    for node in np.flatnonzero(used).tolist():
        children.setdefault(int(parents[node]), []).append(node)
    waiting = [(-weight[node], node) for node in children[-1]]
    heapq.heapify(waiting)
    order = []
    while waiting:
        _, node = heapq.heappop(waiting)
        order.append(node)
        for child in children.get(node, []):
            heapq.heappush(waiting, (-weight[child], child))
    return np.array(order)
