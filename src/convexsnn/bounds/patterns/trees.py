"""What a single neuron decides on distinct sequences: a binary tree of linear forms of its parameters for each.

At the node of history s_1..s_{t-1} the neuron fires when the form there is >= 0 at p; see `dynamics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from convexsnn.bounds.family import NetworkFamily, Unit
from convexsnn.bounds.patterns.dynamics import Bits, Conditions, Dynamics
from convexsnn.prefixes import equal_prefixes
from convexsnn.rationals import Floats, Integers
from convexsnn.sequences import Sequences

# Nodes of the trees of all sequences together.
MAX_NODES = 2**20


@dataclass(frozen=True, eq=False)
class Trees:
    """The trees of one unit on distinct sequences.

    Attributes
    ----------
    dynamics : Dynamics
    fire : list of T integer arrays of shape (m, 2^t, r), t = 0..T-1
        Forms that decide the spike of step t + 1, by sequence and history (the first spike is the highest bit).
    read : list of T integer arrays of shape (m, 2^(t+1), r), or empty
        Forms that decide the bit read after step t + 1; empty where spikes are read.
    sequence, step : int64 arrays of shape (rows,)
        Which sequence each dictionary row is, and the step (from 0) at which it is read.
    """

    dynamics: Dynamics
    fire: list[Integers]
    read: list[Integers]
    sequence: NDArray[np.int64]
    step: NDArray[np.int64]

    @property
    def n_sequences(self) -> int:
        """m, the distinct sequences."""
        return self.fire[0].shape[0]

    @property
    def levels(self) -> list[Integers]:
        """All forms, those of spikes first."""
        return [*self.fire, *self.read]

    def along(self, train: NDArray[np.uint8]) -> Conditions:
        """What the rows depend on along a packed spike train (`Patterns`)."""
        T, m, each = len(self.fire), self.n_sequences, np.arange(self.n_sequences)
        shown = np.unpackbits(train, count=m * len(self.levels)).astype(bool).reshape(-1, m, T)
        spikes, histories = shown[0], [np.zeros(m, dtype=np.int64)]
        for t in range(T):
            histories.append(2 * histories[-1] + spikes[:, t])
        met = [self.fire[t][each, histories[t]] for t in range(T)]
        met += [level[each, histories[t + 1]] for t, level in enumerate(self.read)]
        bits = [part[:, t] for part in shown for t in range(T)]
        used = self.needed
        shift = self.dynamics.leak_shift
        return Conditions(
            np.concatenate([form[rows] for form, rows in zip(met, used, strict=True)]),
            np.concatenate([np.full(rows.sum(), shift * (k % T)) for k, rows in enumerate(used)]),
            np.concatenate([bit[rows] for bit, rows in zip(bits, used, strict=True)]),
        )

    @property
    def needed(self) -> list[Bits]:
        """Which decisions a row depends on: for each of `levels` which sequences, (m,)."""
        T, m = len(self.fire), self.n_sequences
        until = np.zeros(m, dtype=np.int64)
        np.maximum.at(until, self.sequence, self.step)
        read = np.zeros((m, T), dtype=bool)
        read[self.sequence, self.step] = True
        return [t <= until for t in range(T)] + ([read[:, t] for t in range(T)] if self.read else [])


def grow_trees(unit: Unit, family: NetworkFamily, sequences: Sequences) -> Trees:
    """The decision trees of a unit on the distinct sequences that a family's rows are read from.

    Raises
    ------
    ValueError
        When the trees have too many nodes: 2^T - 1 a sequence.
    """
    inputs = distinct_inputs(unit, family, sequences)
    m, T, _ = inputs.values.shape
    nodes = m * (2**T - 1)
    if nodes > MAX_NODES:
        raise ValueError(
            f"sequences have {m} different inputs of up to {T} steps, whose {nodes:.1e} spike histories are more than "
            f"the {MAX_NODES:.1e} that can be enumerated: use fewer steps, or method 'pricing' or 'universal'"
        )
    dynamics = Dynamics.of(unit, family, inputs.values)
    fire, read = _grow(dynamics)
    return Trees(dynamics, fire, read, inputs.sequence, inputs.step)


class Inputs(NamedTuple):
    """Distinct sequences, float64 (m, T, d), their lengths (m,), and the sequence and step of every row, (rows,)."""

    values: Floats
    lengths: NDArray[np.int64]
    sequence: NDArray[np.int64]
    step: NDArray[np.int64]


def distinct_inputs(unit: Unit, family: NetworkFamily, sequences: Sequences) -> Inputs:
    """The distinct sequences that a family's rows are read from; single steps for units without memory.

    Steps beyond a sequence's length decide nothing that is read.
    """
    values, lengths = sequences.values.cpu().to(torch.float64), sequences.lengths.cpu()
    rows = [(i, t) for i, T in enumerate(lengths.tolist()) for t in (range(T) if family.every_step else (T - 1,))]
    if unit.memoryless:
        flat = Sequences(torch.stack([values[i, t : t + 1] for i, t in rows]), torch.ones(len(rows), dtype=torch.int64))
        group = equal_prefixes(flat, every_step=False).numpy()
        first = np.unique(group, return_index=True)[1]
        return Inputs(flat.values.numpy()[first], np.ones(len(first), dtype=np.int64), group, np.zeros_like(group))
    group = equal_prefixes(Sequences(values, lengths), every_step=False).numpy()
    first = np.unique(group, return_index=True)[1]
    sequence, step = np.array([group[i] for i, _ in rows]), np.array([t for _, t in rows])
    return Inputs(values.numpy()[first], lengths.numpy()[first], sequence, step)


def _grow(dynamics: Dynamics) -> tuple[list[Integers], list[Integers]]:
    """Forms step by step: membranes, one a history; history h becomes 2h after silence and 2h + 1 after a spike."""
    m, T, _ = dynamics.values.shape
    membrane, last = dynamics.start((m, 1)), np.zeros(1, dtype=bool)  # of the only history of length 0: no spike
    fire, read = [], []
    for t in range(T):
        potential = dynamics.potential(dynamics.values[:, t, None, :], membrane, np.tile(last, (m, 1)), t)
        fire.append(dynamics.firing(potential, t))
        both = [dynamics.after(potential, t, spike=spike) for spike in (False, True)]
        membrane = np.stack(both, axis=2).reshape(m, 2 * len(last), dynamics.n_parameters)
        last = np.tile([False, True], len(last))
        if dynamics.family.reads_membrane:
            read.append(dynamics.shown(membrane, t))
    return fire, read
