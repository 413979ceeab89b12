"""What a single neuron decides, as linear conditions on its parameters given its own past spikes.

Unrolled (theory.md section 1), the potential of a threshold or LIF neuron at step t is linear in p = (w, recurrent
weight, bias, threshold, readout bias) once s_1..s_{t-1} are given, whatever the reset. So each sequence has a binary
tree of linear forms: at the node of history s_1..s_{t-1} the neuron fires when its form is >= 0 at p.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from convexsnn.bounds.family import Family, Unit
from convexsnn.bounds.rows import equal_inputs
from convexsnn.bounds.sign_vectors import NearlySpecialError
from convexsnn.readouts import Membrane
from convexsnn.sequences import Sequences

Floats = NDArray[np.float64]
# Nodes of the trees of all sequences together.
MAX_NODES = 2**20
# Inputs that differ by less, in units of their largest size, and are not equal, cannot be told apart in float64.
APART = 1e-12


@dataclass(frozen=True, eq=False)
class Decisions:
    """The trees of one unit on distinct sequences.

    Attributes
    ----------
    unit : Unit
    fire : list of T arrays of shape (m, 2^t, r), t = 0..T-1
        Forms that decide the spike of step t + 1, by sequence and history (the first spike is the highest bit).
    read : list of T arrays of shape (m, 2^(t+1), r), or empty
        Forms that decide the bit read after step t + 1; empty where spikes are read.
    sequence, step : int64 arrays of shape (rows,)
        Which sequence each dictionary row is, and the step (from 0) at which it is read.
    theta : int, optional
        The parameter that is the size of the threshold, which must be positive.
    """

    unit: Unit
    fire: list[Floats]
    read: list[Floats]
    sequence: NDArray[np.int64]
    step: NDArray[np.int64]
    theta: int | None

    @property
    def n_parameters(self) -> int:
        """r, the length of p."""
        return self.fire[0].shape[2]

    @property
    def n_sequences(self) -> int:
        """m, the distinct sequences."""
        return self.fire[0].shape[0]


def decisions_of(unit: Unit, family: Family, sequences: Sequences) -> Decisions:
    """The decision trees of a unit on the distinct sequences that a family's rows are read from.

    Raises
    ------
    ValueError
        When the trees have too many nodes: 2^T - 1 a sequence.
    """
    inputs = distinct_inputs(unit, family, sequences)
    values = inputs.values
    nodes = len(values) * (2 ** values.shape[1] - 1)
    if nodes > MAX_NODES:
        raise ValueError(
            f"sequences have {len(values)} different inputs of up to {values.shape[1]} steps, whose {nodes:.1e} spike "
            f"histories are more than the {MAX_NODES:.1e} that can be told apart: use fewer steps"
        )
    fire, read = _grow(unit, family, values)
    return Decisions(unit, fire, read, inputs.sequence, inputs.step, positions(unit, family).get("threshold"))


def positions(unit: Unit, family: Family) -> dict[str, int]:
    """Where the parameters of a unit beside its d weights are in p: those that it has, in order."""
    has = {"recurrent": unit.self_recurrent, "bias": unit.bias, "threshold": unit.has_threshold}
    has["readout_bias"] = unit.readout_bias
    return {name: family.n_features + k for k, name in enumerate(name for name in has if has[name])}


class Inputs(NamedTuple):
    """Distinct sequences, float64 (m, T, d), their lengths (m,), and the sequence and step of every row, (rows,)."""

    values: Floats
    lengths: NDArray[np.int64]
    sequence: NDArray[np.int64]
    step: NDArray[np.int64]


def distinct_inputs(unit: Unit, family: Family, sequences: Sequences) -> Inputs:
    """The distinct sequences that a family's rows are read from; single steps for units without memory.

    Steps beyond a sequence's length decide nothing that is read.
    """
    values, lengths = sequences.values.cpu().to(torch.float64), sequences.lengths.cpu()
    rows = [(i, t) for i, T in enumerate(lengths.tolist()) for t in (range(T) if family.every_step else (T - 1,))]
    if unit.memoryless:
        flat = Sequences(torch.stack([values[i, t : t + 1] for i, t in rows]), torch.ones(len(rows), dtype=torch.int64))
        group = equal_inputs(flat, every_step=False).numpy()
        first = np.unique(group, return_index=True)[1]
        return Inputs(flat.values.numpy()[first], np.ones(len(first), dtype=np.int64), group, np.zeros_like(group))
    group = equal_inputs(Sequences(values, lengths), every_step=False).numpy()
    first = np.unique(group, return_index=True)[1]
    sequence, step = np.array([group[i] for i, _ in rows]), np.array([t for _, t in rows])
    return Inputs(values.numpy()[first], lengths.numpy()[first], sequence, step)


def check_apart(inputs: Inputs) -> None:
    """Raise NearlySpecialError where beginnings of sequences differ, but by no more than rounding."""
    T, d = inputs.values.shape[1:]
    largest = np.abs(inputs.values).max(axis=(0, 1), initial=0.0)
    scaled = inputs.values / np.where(largest > 0.0, largest, 1.0)
    for t in range(T):
        beginnings = np.unique(scaled[inputs.lengths > t, : t + 1].reshape(-1, (t + 1) * d), axis=0)
        if KDTree(beginnings).query_pairs(APART, p=np.inf):
            raise NearlySpecialError


def _grow(unit: Unit, family: Family, values: Floats) -> tuple[list[Floats], list[Floats]]:
    """Forms step by step: membranes as linear forms of p, one a history."""
    m, T, d = values.shape
    at = positions(unit, family)
    r = d + len(at)
    theta = np.zeros(r)
    if unit.has_threshold:
        theta[at["threshold"]] = np.sign(unit.threshold)
    membrane, last = np.zeros((m, 1, r)), np.zeros(1)  # of the only history of length 0, which had no spike
    late = np.array([float(unit.reset_at_first)])
    fire, read = [], []
    for t in range(T):
        current = np.zeros((m, len(last), r))
        current[:, :, :d] = values[:, t, None, :]
        if unit.self_recurrent:
            current[:, :, at["recurrent"]] = last
        if unit.bias:
            current[:, :, at["bias"]] = 1.0
        leak = unit.leak if unit.neuron == "lif" else 0.0
        potential = leak * membrane + current
        if unit.neuron == "lif" and unit.reset == "delayed":
            potential -= late[:, None] * theta
        fire.append(potential - theta)
        after = _after_reset(unit, potential, theta)
        membrane, last = after, np.tile([0.0, 1.0], len(last))
        late = last
        if isinstance(family.readout, Membrane):
            bits = after.copy()
            if unit.readout_bias:
                bits[:, :, at["readout_bias"]] -= 1.0
            read.append(bits)
    return fire, read


def _after_reset(unit: Unit, potential: Floats, theta: Floats) -> Floats:
    """Membranes after a silent step and after a spike, side by side: history h becomes 2h and 2h + 1."""
    spiked = potential
    if unit.neuron == "lif" and unit.reset == "soft":
        spiked = potential - theta
    elif unit.neuron == "lif" and unit.reset == "hard":
        spiked = np.zeros_like(potential)
    m, histories, r = potential.shape
    return np.stack([potential, spiked], axis=2).reshape(m, 2 * histories, r)
