"""Running networks: one pure step, and its fold over time with the state passed in and out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.network import Hidden, Layer, Network
from convexsnn.sequences import Sequences

# Floats of state and current held at a time by `simulate_chunks`: 2**20 float64 are 8 MiB, which stay in cache
# (chunks ten times larger were measured to be two to three times slower on a CPU).
CHUNK_FLOATS = 2**20
# Chunks of wide networks have at least so many sequences all the same, unless that takes more floats than this: every
# step reads all weights, which is worth it for many sequences only.
LEAST_SEQUENCES, MOST_FLOATS = 96, 2**26


class LayerState(NamedTuple):
    """What a layer carries to the next step: membrane and last spikes, both float tensors of shape (n, m)."""

    membrane: Tensor
    spikes: Tensor


State = tuple[tuple[LayerState, ...], ...]
"""One tuple a branch of one `LayerState` a layer."""

Counts = tuple[tuple[Tensor, ...], ...]
"""Spikes of every neuron: one tuple a branch of one int64 tensor (m,) a layer."""


class Stepped(NamedTuple):
    """The outcome of one step of all branches.

    Attributes
    ----------
    state : State
    margin : float tensor of shape ()
        Smallest |v - theta| of this step.
    counts : Counts
        Spikes of every neuron in this step, over the n sequences.
    """

    state: State
    margin: Tensor
    counts: Counts


@dataclass(frozen=True, eq=False)
class Simulation:
    """A network's answer to a set of sequences.

    Attributes
    ----------
    features : tensor of shape (rows, P_last)
        Rows are sequences, or (sequence, step) pairs ordered by sequence, then step. bool, or float for analog.
    state : State
        After the last step of each sequence.
    margin : float
        Smallest |v - theta| over all neurons, steps and sequences (and |v_T - readout_bias| where the membrane
        readout thresholds it); inf for a network without neurons.
    counts : Counts
        Spikes of every neuron, summed over steps and sequences.
    """

    features: Tensor
    state: State
    margin: float
    counts: Counts

    @property
    def n_spikes(self) -> int:
        """Spikes of all neurons over all steps and sequences."""
        return sum(int(count.sum()) for branch in self.counts for count in branch)


def initial_state(hidden: Hidden, n: int) -> State:
    """The zero state of `n` sequences."""
    zeros = lambda m: torch.zeros(n, m, dtype=hidden.dtype, device=hidden.device)  # noqa: E731
    return tuple(tuple(LayerState(zeros(layer.m), zeros(layer.m)) for layer in b.layers) for b in hidden.branches)


def step(hidden: Hidden, x: Tensor, state: State) -> Stepped:
    """Advance every branch by one time step.

    Parameters
    ----------
    x : float tensor of shape (n, d), in the network's dtype
    state : State
        Of n sequences; not changed.
    """
    states, counts = [], []
    margin = x.new_tensor(torch.inf)
    for branch, branch_state in zip(hidden.branches, state, strict=True):
        below, layer_states, layer_counts = x, [], []
        for layer, layer_state in zip(branch.layers, branch_state, strict=True):
            spikes, membrane, distance = layer.neuron.step(_current(layer, below, layer_state), layer_state.membrane)
            margin = torch.minimum(margin, distance.abs().amin())
            below = spikes.to(hidden.dtype)
            layer_states.append(LayerState(membrane, below))
            layer_counts.append(spikes.sum(dim=0))
        states.append(tuple(layer_states))
        counts.append(tuple(layer_counts))
    return Stepped(tuple(states), margin, tuple(counts))


def read(hidden: Hidden, state: State) -> tuple[Tensor, Tensor]:
    """What the output layer sees of a state.

    Returns
    -------
    features : tensor of shape (n, P_last)
        bool for the spike and membrane readouts, the network's dtype for analog.
    margin : float tensor of shape ()
        Smallest |v - readout_bias| of the membrane readout; inf for the other two.
    """
    margin = torch.tensor(torch.inf, dtype=hidden.dtype, device=hidden.device)
    features = []
    for branch, (*_, last) in zip(hidden.branches, state, strict=True):
        if hidden.readout == "spike":
            features.append(last.spikes > 0)
        elif hidden.readout == "analog":
            features.append(last.membrane)
        else:
            membrane = last.membrane if branch.readout_bias is None else last.membrane - branch.readout_bias
            features.append(membrane >= 0)
            margin = torch.minimum(margin, membrane.abs().amin())
    return torch.cat(features, dim=1), margin


@torch.no_grad()
def simulate(hidden: Hidden, sequences: Sequences, state: State | None = None) -> Simulation:
    """Run `hidden` over `sequences`; no gradients.

    Sequences of unequal length are run together, longest first, and leave when they end: padding is never shown.

    Parameters
    ----------
    hidden : Hidden
    sequences : Sequences
        Moved to the network's device and dtype.
    state : State, optional
        To start from instead of zero, e.g. `Simulation.state` of the steps before.

    Raises
    ------
    ValueError
        When the number of features is not the network's, or potentials overflow.
    """
    check_features(hidden, sequences)
    if not hidden.branches:
        return _silent(hidden, sequences)
    sequences = sequences.to(hidden.device, hidden.dtype)
    order = torch.argsort(sequences.lengths, descending=True, stable=True)
    values, lengths = sequences.values[order], sequences.lengths[order]
    rows = _row_index(sequences, hidden.every_step)[order]
    state = initial_state(hidden, len(order)) if state is None else _map_state(state, lambda s: s[order])
    features = _empty_features(hidden, sequences)
    counts, margins, ended = [], [], []
    # How many sequences are still running at each step; they are the first ones, as they are sorted by length.
    active = (lengths.unsqueeze(1) > torch.arange(int(lengths[0]), device=lengths.device)).sum(dim=0).tolist()
    for t, (k, k_next) in enumerate(zip(active, [*active[1:], 0], strict=True)):
        state, margin, spiked = step(hidden, values[:k, t], state)
        counts.append(spiked)
        margins.append(margin)
        going, gone = _split_state(state, k_next)
        ended.append(gone)
        if hidden.every_step:
            features[rows[:k] + t], margin = read(hidden, state)
        elif k_next < k:
            features[rows[k_next:k]], margin = read(hidden, gone)
        margins.append(margin)
        state = going
    margin, final = float(torch.stack(margins).amin()), _restore_order(ended, order)
    check_potentials(hidden, final, margin)
    return Simulation(features, final, margin, _sum_counts(counts))


def simulate_chunks(hidden: Hidden, sequences: Sequences) -> Iterator[Simulation]:
    """Like `simulate`, in chunks of sequences that bound the memory; concatenated features are those of `simulate`."""
    steps = sequences.n_steps if hidden.every_step else 1
    floats = max(1, 4 * hidden.n_neurons + steps * hidden.n_last)
    size = max(1, CHUNK_FLOATS // floats, min(LEAST_SEQUENCES, MOST_FLOATS // floats))
    for start in range(0, len(sequences), size):
        yield simulate(hidden, sequences.take(slice(start, start + size)))


def scores(network: Network, sequences: Sequences) -> Tensor:
    """f(x) for every row: float64 tensor of shape (rows, C)."""
    W = network.W.to(torch.float64)
    return torch.cat([part.features.to(torch.float64) @ W for part in simulate_chunks(network.hidden, sequences)])


def check_features(hidden: Hidden, sequences: Sequences) -> None:
    """Raise ValueError when the sequences' features are not those the network expects."""
    if sequences.n_features != hidden.n_features:
        raise ValueError(f"X has {sequences.n_features} features, but the network expects {hidden.n_features} features")


def check_potentials(hidden: Hidden, state: State, margin: float | Tensor) -> None:
    """Raise ValueError when a membrane has overflowed, or the margin of a step on the way to `state` is no number."""
    if math.isnan(margin) or not all(bool(torch.isfinite(la.membrane).all()) for branch in state for la in branch):
        raise ValueError(f"X drives membrane potentials beyond the range of {hidden.dtype}: scale X down")


def first_states(state: State, k: int) -> State:
    """The states of the first `k` sequences."""
    return _map_state(state, lambda s: s[:k])


def _current(layer: Layer, below: Tensor, state: LayerState) -> Tensor:
    """I = below @ W_in (+ s_{t-1} @ W_rec) (+ b), summed in that order."""
    current = below @ layer.weight
    if layer.recurrent is not None:
        current = current + state.spikes @ layer.recurrent
    if layer.bias is not None:
        current = current + layer.bias
    return current


def _row_index(sequences: Sequences, every_step: bool) -> Tensor:
    """The dictionary row of each sequence (its first, when every step is a row)."""
    if every_step:
        return torch.cumsum(sequences.lengths, dim=0) - sequences.lengths
    return torch.arange(len(sequences), device=sequences.lengths.device)


def _map_state(state: State, function) -> State:
    return tuple(tuple(LayerState(function(s.membrane), function(s.spikes)) for s in branch) for branch in state)


def _split_state(state: State, k: int) -> tuple[State, State]:
    """The states of the first `k` sequences, and of the others."""
    return first_states(state, k), _map_state(state, lambda s: s[k:])


def _sum_counts(counts: list[Counts]) -> Counts:
    return tuple(
        tuple(torch.stack([step[k][i] for step in counts]).sum(dim=0) for i in range(len(branch)))
        for k, branch in enumerate(counts[0])
    )


def _empty_features(hidden: Hidden, sequences: Sequences) -> Tensor:
    dtype = hidden.dtype if hidden.readout == "analog" else torch.bool
    return torch.empty(sequences.rows(hidden.every_step), hidden.n_last, dtype=dtype, device=hidden.device)


def _silent(hidden: Hidden, sequences: Sequences) -> Simulation:
    """A network without branches has no features and never comes near a threshold."""
    return Simulation(_empty_features(hidden, sequences), (), float("inf"), ())


def _restore_order(finished: list[State], order: Tensor) -> State:
    """Join the states of the sequences that ended at each step (the longest ended last) in the original order."""
    inverse = torch.argsort(order)
    join = lambda tensors: torch.cat(tensors)[inverse]  # noqa: E731
    parts = finished[::-1]
    return tuple(
        tuple(
            LayerState(join([p[k][i].membrane for p in parts]), join([p[k][i].spikes for p in parts]))
            for i in range(len(branch))
        )
        for k, branch in enumerate(parts[0])
    )
