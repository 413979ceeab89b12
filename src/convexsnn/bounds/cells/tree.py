"""What a neuron decides on the prefixes of its input, as a tree: parent before child, equal prefixes once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from convexsnn.bounds.family import NetworkFamily, Unit
from convexsnn.bounds.patterns.dynamics import Bits, Conditions, Dynamics, Steps
from convexsnn.bounds.patterns.trees import Inputs, distinct_inputs
from convexsnn.prefixes import equal_prefixes
from convexsnn.rationals import Floats, Integers
from convexsnn.sequences import Sequences

Numbers = NDArray[np.int64]


S = TypeVar("S", bound=Steps, covariant=True)
Other = TypeVar("Other", bound=Steps)


@dataclass(frozen=True, eq=False)
class DecisionTree(Generic[S]):
    """The decisions of one unit: whether it fires after each prefix, and the bits that are read of its membrane.

    Nodes are numbered level by level, so that the children of a node follow one another. A node that reads the membrane
    is a child of the one that fires: what it decides depends on the reset.

    Attributes
    ----------
    dynamics : Steps
    x : integer array of shape (N, d)
        The last step of each node's prefix.
    t : int64 array of shape (N,)
        The number of that step, from 0.
    parent : int64 array of shape (N,)
        -1 for the first step.
    first : int64 array of shape (N + 1,)
        The children of node k are first[k] .. first[k + 1] - 1.
    reads : bool array of shape (N,)
        Nodes that decide a bit read of the membrane, and no spike.
    rows : int64 array of shape (rows,)
        The node whose decision each dictionary row reads.
    """

    dynamics: S
    x: Integers
    t: Numbers
    parent: Numbers
    first: Numbers
    reads: Bits
    rows: Numbers

    @property
    def n_nodes(self) -> int:
        """N."""
        return len(self.parent)

    @property
    def n_roots(self) -> int:
        """Nodes of the first step, which come first."""
        return int((self.parent < 0).sum())

    @classmethod
    def of(cls, unit: Unit, family: NetworkFamily, sequences: Sequences) -> DecisionTree[Dynamics]:
        """The tree of the prefixes that a family's rows depend on."""
        inputs = distinct_inputs(unit, family, sequences)
        dynamics = Dynamics.of(unit, family, inputs.values)
        prefix = _prefixes(inputs)
        read = prefix[inputs.sequence, inputs.step]
        where, parent = _last_steps(prefix, inputs.lengths)
        order, parent, reads = _by_level(parent, _needed(parent, read), read if family.reads_membrane else None)
        place = np.full((2, len(where)), -1)
        place[reads.astype(int), order] = np.arange(len(order))
        children = np.bincount(parent[parent >= 0], minlength=len(order))
        first = np.concatenate([[0], np.cumsum(children)]) + int((parent < 0).sum())
        i, t = where[order].T
        rows = place[int(family.reads_membrane), read]
        return DecisionTree(dynamics, dynamics.values[i, t], t, parent, first, reads, rows)

    def with_leak(self, leak: float) -> DecisionTree[Dynamics]:
        """The same decisions of neurons of one leak."""
        return self.with_dynamics(self.dynamics.with_leak(leak))

    def with_dynamics(self, dynamics: Other) -> DecisionTree[Other]:
        """The same decisions of neurons of other steps."""
        own = {name: getattr(self, name) for name in ("x", "t", "parent", "first", "reads", "rows")}
        return DecisionTree(dynamics, **own)

    def sums_below(self, own: Floats) -> Floats:
        """The sums of `own` (N, C) over each node and all below it: (N, C)."""
        total = own.copy()
        for t in range(int(self.t.max()), -1, -1):
            for reads in (True, False):  # reading nodes hang on those of their own step
                level = np.flatnonzero((self.t == t) & (self.reads == reads) & (self.parent >= 0))
                np.add.at(total, self.parent[level], total[level])
        return total

    def gains(self, U: Floats) -> Floats:
        """The sum of U (rows, C) over the rows that read each node: (N, C)."""
        total = np.zeros((self.n_nodes, U.shape[1]))
        np.add.at(total, self.rows, U)
        return total

    def along(self: DecisionTree[Dynamics], train: NDArray[np.uint8]) -> Conditions:
        """What a neuron meets whose decisions on all nodes are these bits, packed by `numpy.packbits`."""
        bits = np.unpackbits(train, count=self.n_nodes).astype(bool)
        dynamics, forms = self.dynamics, []
        membranes: dict[int, Integers] = {}
        for k, (parent, t) in enumerate(zip(self.parent.tolist(), self.t.tolist(), strict=True)):
            if self.reads[k]:
                forms.append(dynamics.shown(membranes[parent], t))
                continue
            before = membranes[parent] if parent >= 0 else dynamics.start()
            potential = dynamics.potential(self.x[k], before, bool(parent >= 0 and bits[parent]), t)
            membranes[k] = dynamics.after(potential, t, spike=bool(bits[k]))
            forms.append(dynamics.firing(potential, t))
        return Conditions(np.stack(forms), dynamics.leak_shift * self.t, bits)


def _prefixes(inputs: Inputs) -> Numbers:
    """A number for each prefix of each sequence, equal where the prefixes are: (m, T), -1 beyond the length."""
    lengths = torch.from_numpy(inputs.lengths)
    groups = equal_prefixes(Sequences(torch.from_numpy(inputs.values), lengths), every_step=True).numpy()
    m, T = inputs.values.shape[:2]
    nodes = np.full((m, T), -1)
    nodes[np.arange(T) < inputs.lengths[:, None]] = groups
    return nodes


def _last_steps(prefix: Numbers, lengths: Numbers) -> tuple[Numbers, Numbers]:
    """Of each prefix the sequence and step that it ends with, (k, 2), and the prefix one step shorter, or -1."""
    i, t = np.nonzero(np.arange(prefix.shape[1]) < lengths[:, None])
    own = prefix[i, t]
    where, parent = np.zeros((own.max() + 1, 2), dtype=np.int64), np.full(own.max() + 1, -1)
    where[own] = np.stack([i, t], axis=1)
    parent[own] = np.where(t > 0, prefix[i, t - 1], -1)
    return where, parent


def _needed(parent: Numbers, read: Numbers) -> Bits:
    """The prefixes that lead to one that is read."""
    needed, at = np.zeros(len(parent), dtype=bool), np.unique(read)
    while len(at):
        needed[at] = True
        at = np.unique(parent[at])
        at = at[at >= 0]
    return needed


def _by_level(parent: Numbers, needed: Bits, read: Numbers | None) -> tuple[Numbers, Numbers, Bits]:
    """Prefixes in the order of their nodes; the node of each one's parent; and which nodes read the membrane."""
    children: list[list[int]] = [[] for _ in parent]
    for k in np.flatnonzero(needed & (parent >= 0)).tolist():
        children[parent[k]].append(k)
    own = [0] * len(parent)
    for k in [] if read is None else read.tolist():
        own[k] = 1
    order = np.flatnonzero(needed & (parent < 0)).tolist()
    above, reads = [-1] * len(order), [False] * len(order)
    for place, k in enumerate(order):  # which grows on the way
        if not reads[place]:
            reads += [True] * own[k] + [False] * len(children[k])
            order += [k] * own[k] + children[k]
            above += [place] * (own[k] + len(children[k]))
    return np.array(order), np.array(above), np.array(reads, dtype=bool)
