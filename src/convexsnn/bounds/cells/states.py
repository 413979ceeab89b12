"""States of a neuron: a node of its decision tree and the spikes before it, with the form that decides there.

States are made when a cell first reaches them. Their forms are integers; float64 has them to half a unit in the last
place, so that the sign of a determinant of them is certain where it exceeds a proved bound of its rounding. Forms that
move with the leak have r entries for each power of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.cells.cones import FormTable
from convexsnn.bounds.cells.polynomials import ROUNDING
from convexsnn.bounds.cells.tree import DecisionTree, Numbers
from convexsnn.bounds.patterns.dynamics import Steps
from convexsnn.rationals import Floats, Integers, bit_length, primitive

Line = tuple[int, ...]

# A form of integers of so many bits is given to compiled code as it is: sums of products of three are integers too.
WHOLE_BITS = 17


class States:
    """The states met so far; the first r are no states, but the planes on which one parameter is 0.

    The form of a plane is its parameter; of the threshold, which is positive, it is the parameter with a minus sign.

    Attributes
    ----------
    tree : DecisionTree
    r : int
        Parameters.
    """

    def __init__(self, tree: DecisionTree[Steps]) -> None:
        self.tree, self.r = tree, tree.dynamics.n_parameters
        width = self.r * tree.dynamics.length
        self._scales = np.tile(_scales(tree), tree.dynamics.length)
        self._count = self.r
        self._node, self._next = np.full(self.r, -1), np.full((self.r, 2), -1)
        signs = np.array([-1 if k == tree.dynamics.theta else 1 for k in range(self.r)])
        self._form, self._error = np.zeros((self.r, width)), np.zeros(self.r)
        self._form[:, : self.r] = np.diag(signs.astype(float))
        self._potential = np.zeros((self.r, width), dtype=object)
        self._numbers: dict[Line, int] = {}
        self.lines: list[Line] = []
        self.line = np.zeros(self.r, dtype=np.int64)
        for k in range(self.r):
            self.line[k] = signs[k] * self._number(tuple(int(j == k) for j in range(width)))
        roots = np.arange(tree.n_roots)
        spiked = np.zeros(len(roots), dtype=bool)
        self._append(roots, tree.dynamics.start((len(roots),)), spiked)

    @property
    def roots(self) -> Numbers:
        """The states of the first step."""
        return self.r + np.arange(self.tree.n_roots)

    def table(self) -> FormTable:
        """What compiled code reads."""
        n = self._count
        return FormTable(self._node[:n], self._form[:n], self._error[:n], self._next[:n], self.tree.first)

    def make_waiting(self, entry: Numbers) -> None:
        """Make the states that follow decided entries (`Open.entry`)."""
        wanted = -np.unique(entry[entry < 0]) - 1
        self.make(wanted >> 1, (wanted & 1).astype(bool))

    def make(self, states: Numbers, spikes: NDArray[np.bool_]) -> None:
        """Make the states that follow these, of whose nodes none is without children, after these decisions."""
        tree, dynamics = self.tree, self.tree.dynamics
        node = self._node[states]
        for t in np.unique(tree.t[node]).tolist():
            for spike in (False, True):
                group = states[(tree.t[node] == t) & (spikes == spike)]
                if len(group):
                    self._follow(group, dynamics.after(self._potential[group], t, spike=spike), spike=spike)

    def parameters(self, p: Floats) -> Floats:
        """Parameters of neurons (r, m), with weights in the units of the network, of points (m, r) of regions.

        Those of points beyond the range of float64 are not finite.
        """
        dynamics = self.tree.dynamics
        units = np.zeros(self.r)
        units[: dynamics.family.n_features] = -dynamics.exponents
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            own = np.ldexp(p * self._scales[: self.r].astype(np.float64), units.astype(np.int64)).T
            if dynamics.theta is None:
                return own / np.abs(own).max(axis=0)
            return own / own[dynamics.theta] * abs(dynamics.unit.threshold)

    def _follow(self, states: Numbers, membranes: Integers, *, spike: bool) -> None:
        first, node = self.tree.first, self._node[states]
        counts = first[node + 1] - first[node]
        starts = np.cumsum(counts) - counts
        self._next[states, int(spike)] = self._count + starts
        within = np.arange(counts.sum()) - np.repeat(starts, counts)
        nodes = np.repeat(first[node], counts) + within
        self._append(nodes, np.repeat(membranes, counts, axis=0), np.full(len(nodes), spike))

    def _append(self, nodes: Numbers, membranes: Integers, spiked: NDArray[np.bool_]) -> None:
        """States of these nodes, from the membranes (k, r) and spikes before them; membranes themselves are read."""
        tree, dynamics = self.tree, self.tree.dynamics
        potential, form = membranes.copy(), membranes.copy()
        for t in np.unique(tree.t[nodes]).tolist():
            here = tree.t[nodes] == t
            fires, reads = np.flatnonzero(here & ~tree.reads[nodes]), np.flatnonzero(here & tree.reads[nodes])
            if len(fires):
                potential[fires] = dynamics.potential(tree.x[nodes[fires]], membranes[fires], spiked[fires], t)
                form[fires] = dynamics.firing(potential[fires], t)
            if len(reads):
                form[reads] = dynamics.shown(membranes[reads], t)
        scaled = form * self._scales
        near, error = _whole(scaled) if tree.dynamics.moves else _in_floats(scaled)
        lines = np.array([self._number(tuple(primitive(row))) for row in scaled.tolist()], dtype=np.int64)
        self._count += len(nodes)
        self._node, self._next = _grown(self._node, nodes), _grown(self._next, np.full((len(nodes), 2), -1))
        self._form, self._error = _grown(self._form, near), _grown(self._error, error)
        self._potential = _grown(self._potential, potential)
        self.line = _grown(self.line, lines)

    def _number(self, line: Line) -> int:
        """A number for a form up to its sign and scale, +-(k + 1): the same for all forms of one hyperplane."""
        leading = next((entry for entry in line if entry), 0)
        side = 1 if leading >= 0 else -1
        line = line if side > 0 else tuple(-entry for entry in line)
        if line not in self._numbers:
            self._numbers[line] = len(self.lines)
            self.lines.append(line)
        return side * (self._numbers[line] + 1)


def _scales(tree: DecisionTree[Steps]) -> Integers:
    """Powers of two that make the coefficients of all parameters alike in size: (r,)."""
    d = tree.dynamics.family.n_features
    lengths = [max(1, bit_length(tree.x[:, k])) for k in range(d)] + [1] * (tree.dynamics.n_parameters - d)
    return np.array([1 << (max(lengths) - length) for length in lengths], dtype=object)


def _in_floats(forms: Integers) -> tuple[Floats, Floats]:
    """Forms over the sums of their sizes, and how far they are off: by half a unit in the last place of each entry."""
    sizes = np.abs(forms).sum(axis=1, keepdims=True)
    return (forms / np.where(sizes == 0, 1, sizes)).astype(np.float64), np.full(len(forms), ROUNDING)


def _whole(forms: Integers) -> tuple[Floats, Floats]:
    """Forms as integers where these are small, else over the sums of their sizes, and how far they are off."""
    rows = np.empty_like(forms)
    for row, form in zip(rows, forms.tolist(), strict=True):
        row[:] = primitive(form)
    near, error = _in_floats(rows)
    small = np.array([bit_length(row) <= WHOLE_BITS for row in rows], dtype=bool)
    near[small], error[small] = rows[small].astype(np.float64), 0.0
    return near, error


def _grown(values: NDArray, more: NDArray) -> NDArray:
    return np.concatenate([values, more])
