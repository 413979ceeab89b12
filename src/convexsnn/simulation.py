"""Running networks: one pure step, and its fold over time with the state passed in and out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.caller import isolated, paced
from convexsnn.memoryless import run_whole, runs_whole
from convexsnn.network import Hidden, Layer, Network
from convexsnn.neurons import NeuronState
from convexsnn.readouts import Accumulated, LastLayer
from convexsnn.sequences import Sequences, SequenceSource
from convexsnn.sharded import ShardedSequences

# Floats of state and current held at a time by `simulate_chunks`: 2**20 float64 are 8 MiB, which stay in cache
# (chunks ten times larger were measured to be two to three times slower on a CPU).
CHUNK_FLOATS = 2**20
# Chunks of wide networks have at least so many sequences all the same, unless that takes more floats than this: every
# step reads all weights, which is worth it for many sequences only.
LEAST_SEQUENCES, MOST_FLOATS = 96, 2**26
# Chunks of small networks have no more sequences than hold so many numbers, or the least number of them: a chunk is
# copied, and sequences may be long.
INPUT_FLOATS = 2**21


class LayerState(NamedTuple):
    """What a layer carries to the next step.

    Attributes
    ----------
    neuron : NeuronState
        The neurons' own state, float tensors of shape (n, m), the membrane first.
    spikes : float tensor of shape (n, m)
        The spikes of the step before, 0 or 1.
    past : tuple of float tensors of shape (n, n_in)
        What the layer was shown at the steps before, the last first. There are as many as its longest delay.
    """

    neuron: NeuronState
    spikes: Tensor
    past: tuple[Tensor, ...] = ()

    @property
    def membrane(self) -> Tensor:
        """The membrane after reset, (n, m)."""
        return self.neuron[0]


class BranchState(NamedTuple):
    """What a branch carries to the next step: its layers' states, and what the readout has accumulated of the last."""

    layers: tuple[LayerState, ...]
    accumulated: Accumulated


class State(NamedTuple):
    """What a network carries to the next step: its branches' states, and the steps seen, an int64 tensor (n, 1)."""

    branches: tuple[BranchState, ...]
    steps: Tensor


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
        Rows are sequences, or (sequence, step) pairs ordered by sequence, then step. bool where the readout's columns
        are bits, else float.
    state : State
        The state after the last step of each sequence.
    margin : float
        Smallest |v - theta| over all neurons, steps and sequences (and of what the readout compares itself, such as
        |v_T - readout_bias| of the membrane readout); inf for a network without neurons.
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


@isolated
def initial_state(hidden: Hidden, n: int) -> State:
    """The state of `n` sequences before their first step."""
    zeros = lambda m: torch.zeros(n, m, dtype=hidden.dtype, device=hidden.device)  # noqa: E731
    branches = tuple(
        BranchState(
            tuple(
                LayerState(la.neuron.initial_state(zeros(la.m)), zeros(la.m), (zeros(la.n_in),) * la.delays[-1])
                for la in branch.layers
            ),
            hidden.readout.start(zeros(branch.last.m)),
        )
        for branch in hidden.branches
    )
    return State(branches, torch.zeros(n, 1, dtype=torch.int64, device=hidden.device))


@isolated
def step(hidden: Hidden, x: Tensor, state: State) -> Stepped:
    """Advance every branch by one time step.

    Parameters
    ----------
    x : float tensor of shape (n, d), in the network's dtype
    state : State
        The state of n sequences; it is not changed.
    """
    states, counts, steps = [], [], state.steps + 1
    margin = x.new_tensor(torch.inf)
    for branch, own in zip(hidden.branches, state.branches, strict=True):
        below, layers, of_branch = x, [], []
        for layer, before in zip(branch.layers, own.layers, strict=True):
            line = (below, *before.past)
            fired = layer.neuron.step(_current(layer, line, before), before.neuron)
            margin = torch.minimum(margin, fired.distance.abs().amin())
            # Torch converts bytes twice as fast as bits, and counts floats three times as fast.
            below = fired.spikes.view(torch.uint8).to(hidden.dtype)
            layers.append(LayerState(fired.state, below, line[: layer.delays[-1]]))
            of_branch.append(below.sum(dim=0, dtype=torch.float64).to(torch.int64))
        last = LastLayer(below, layers[-1].membrane, own.accumulated, steps, branch.readout_bias)
        states.append(BranchState(tuple(layers), hidden.readout.update(last)))
        counts.append(tuple(of_branch))
    return Stepped(State(tuple(states), steps), margin, tuple(counts))


@isolated
def read(hidden: Hidden, state: State) -> tuple[Tensor, Tensor]:
    """What the output layer sees of a state.

    Returns
    -------
    features : tensor of shape (n, P_last)
        bool where the readout's columns are bits, else in the network's dtype.
    margin : float tensor of shape ()
        The smallest distance of what the readout compares itself (see `Reading`); inf where it compares nothing.
    """
    margin = torch.tensor(torch.inf, dtype=hidden.dtype, device=hidden.device)
    features = []
    for branch, own in zip(hidden.branches, state.branches, strict=True):
        spikes, membrane = own.layers[-1].spikes, own.layers[-1].membrane
        reading = hidden.readout.read(LastLayer(spikes, membrane, own.accumulated, state.steps, branch.readout_bias))
        features.append(reading.features)
        if reading.margin is not None:
            margin = torch.minimum(margin, reading.margin)
    return torch.cat(features, dim=1), margin


@isolated
@torch.no_grad()
def simulate(hidden: Hidden, sequences: Sequences, state: State | None = None) -> Simulation:
    """Run `hidden` over `sequences`; no gradients.

    Sequences of unequal length are run together, longest first, and leave when they end: padding is never shown. The
    memory held does not grow with the number of steps, but for the features of every step where these are read.

    Parameters
    ----------
    hidden : Hidden
    sequences : Sequences
        The input. It is moved to the network's device and dtype.
    state : State, optional
        The state to start from instead of zero, such as `Simulation.state` of the steps before.

    Raises
    ------
    ValueError
        When the number of features is not the network's, or potentials overflow.
    """
    check_features(hidden, sequences)
    if not hidden.branches:
        return _silent(hidden, sequences)
    sequences = sequences.to(hidden.device, hidden.dtype)
    if state is None and runs_whole(hidden):
        return _simulate_whole(hidden, sequences)
    order = torch.argsort(sequences.lengths, descending=True, stable=True)
    values, lengths = sequences.values[order], sequences.lengths[order]
    rows = _row_index(sequences, hidden.every_step)[order]
    state = initial_state(hidden, len(order)) if state is None else _map_state(state, lambda s: s[order])
    features = _empty_features(hidden, sequences)
    counts, ended = _no_counts(hidden), []
    margin = torch.tensor(torch.inf, dtype=hidden.dtype, device=hidden.device)
    # How many sequences are still running at each step; they are the first ones, as they are sorted by length.
    active = (lengths.unsqueeze(1) > torch.arange(int(lengths[0]), device=lengths.device)).sum(dim=0).tolist()
    for t, (k, k_next) in enumerate(zip(active, [*active[1:], 0], strict=True)):
        state, nearest, spiked = step(hidden, values[:k, t], state)
        counts, margin = _add_counts(counts, spiked), torch.minimum(margin, nearest)
        if hidden.every_step:
            features[rows[:k] + t], nearest = read(hidden, state)
            margin = torch.minimum(margin, nearest)
        if k_next == k:
            continue
        # A copy: a view would keep the states of all that ran at this step.
        gone = _map_state(state, lambda s: s[k_next:].clone())  # noqa: B023 - called at once
        ended.append(gone)
        if not hidden.every_step:
            features[rows[k_next:k]], nearest = read(hidden, gone)
            margin = torch.minimum(margin, nearest)
        state = first_states(state, k_next)
    final, smallest = _restore_order(ended, order), float(margin)
    check_potentials(hidden, final, smallest)
    return Simulation(features, final, smallest, counts)


def _simulate_whole(hidden: Hidden, sequences: Sequences) -> Simulation:
    """`simulate` for networks without memory but that of the readout: all steps at once."""
    runs = [run_whole(hidden, branch.last, sequences.values, sequences.lengths) for branch in hidden.branches]
    states = [BranchState((LayerState((run.membrane,), run.spikes, run.past),), run.accumulated) for run in runs]
    state = State(tuple(states), sequences.lengths.unsqueeze(1))
    features, nearest = read(hidden, state)
    margin = float(torch.stack([*(run.margin for run in runs), nearest]).amin())
    check_potentials(hidden, state, margin)
    return Simulation(features, state, margin, tuple((run.counts,) for run in runs))


def simulate_chunks(hidden: Hidden, sequences: SequenceSource) -> Iterator[Simulation]:
    """Like `simulate`, in chunks of sequences that bound the memory; concatenated features are those of `simulate`."""
    for chunk in sequences.chunks(_chunk_size(hidden, sequences)):
        yield simulate(hidden, chunk)


def simulate_rows(hidden: Hidden, sequences: SequenceSource, rows: slice) -> Iterator[Simulation]:
    """The chunks of `simulate_chunks` that hold any of the rows asked for, with the features of these rows only.

    As chunks are the same whichever rows are asked for, so are the features, to the last bit.
    """
    if rows.start == rows.stop:
        return
    counts = sequences.lengths if hidden.every_step else torch.ones_like(sequences.lengths)
    ends, size = counts.cumsum(0), _chunk_size(hidden, sequences)
    first, last = torch.searchsorted(ends, ends.new_tensor([rows.start, rows.stop - 1]), right=True).tolist()
    first = first // size * size
    begun = int(ends[first - 1]) if first else 0
    for part in simulate_chunks(hidden, sequences.take(slice(first, (last // size + 1) * size))):
        features = part.features[max(0, rows.start - begun) : rows.stop - begun]
        begun += len(part.features)
        yield replace(part, features=features)


def simulate_held(hidden: Hidden, sequences: SequenceSource) -> Iterator[Simulation]:
    """Like `simulate_chunks`; of sequences that are spread over ranks, for the rows of this rank alone."""
    if isinstance(sequences, ShardedSequences):
        return simulate_rows(hidden, sequences.whole, sequences.held(hidden.every_step))
    return simulate_chunks(hidden, sequences)


def _chunk_size(hidden: Hidden, sequences: SequenceSource) -> int:
    """Sequences that are simulated at a time."""
    steps = sequences.n_steps if hidden.every_step else 1
    floats = max(1, 4 * hidden.n_neurons + steps * hidden.n_last)
    most = max(LEAST_SEQUENCES, INPUT_FLOATS // max(1, sequences.n_steps * sequences.n_features))
    return max(1, min(most, CHUNK_FLOATS // floats), min(LEAST_SEQUENCES, MOST_FLOATS // floats))


@isolated
@paced(lambda network, sequences: len(sequences) * network.hidden.n_neurons)
def scores(network: Network, sequences: SequenceSource) -> Tensor:
    """f(x) for every row: float64 tensor of shape (rows, C)."""
    W, hidden = network.W.to(torch.float64), network.hidden
    parts = [part.features.to(torch.float64) @ W for part in simulate_held(hidden, sequences)]
    own = torch.cat(parts) if parts else W.new_zeros(0, W.shape[1])
    return sequences.joined(own, hidden.every_step) if isinstance(sequences, ShardedSequences) else own


def check_features(hidden: Hidden, sequences: Sequences) -> None:
    """Raise ValueError when the sequences' features are not those the network expects."""
    if sequences.n_features != hidden.n_features:
        raise ValueError(f"X has {sequences.n_features} features, but the network expects {hidden.n_features} features")


def check_potentials(hidden: Hidden, state: State, margin: float | Tensor) -> None:
    """Raise ValueError when a membrane has overflowed, or the margin of a step on the way to `state` is no number."""
    layers = [layer for branch in state.branches for layer in branch.layers]
    if math.isnan(margin) or not all(bool(torch.isfinite(tensor).all()) for la in layers for tensor in la.neuron):
        raise ValueError(f"X drives membrane potentials beyond the range of {hidden.dtype}: scale X down")


def first_states(state: State, k: int) -> State:
    """The states of the first `k` sequences."""
    return _map_state(state, lambda s: s[:k])


def take_states(state: State, index: Tensor) -> State:
    """The states of the sequences that are numbered by `index`, int64 of shape (k,)."""
    return _map_state(state, lambda s: s[index])


def _current(layer: Layer, line: tuple[Tensor, ...], state: LayerState) -> Tensor:
    """I = below @ W_in (+ s_{t-1} @ W_rec) (+ b), summed in that order; `line` has what is below, the newest first."""
    seen = torch.cat([line[delay] for delay in layer.delays], dim=1) if layer.delayed else line[0]
    current = seen @ layer.weight
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


def _map_state(state: State, function: Callable[[Tensor], Tensor]) -> State:
    """`function`, which acts on sequences, of every tensor."""
    return _join_states([state], lambda tensors: function(tensors[0]))


def _join_states(states: Sequence[State], join: Callable[[list[Tensor]], Tensor]) -> State:
    """`join` of each tensor that the states have."""
    branches = []
    for same in zip(*(state.branches for state in states), strict=True):
        layers = []
        for layer in zip(*(branch.layers for branch in same), strict=True):
            neuron = tuple(map(join, map(list, zip(*(own.neuron for own in layer), strict=True))))
            past = tuple(map(join, map(list, zip(*(own.past for own in layer), strict=True))))
            layers.append(LayerState(neuron, join([own.spikes for own in layer]), past))
        accumulated = tuple(map(join, map(list, zip(*(branch.accumulated for branch in same), strict=True))))
        branches.append(BranchState(tuple(layers), accumulated))
    return State(tuple(branches), join([state.steps for state in states]))


def _no_counts(hidden: Hidden) -> Counts:
    zeros = lambda m: torch.zeros(m, dtype=torch.int64, device=hidden.device)  # noqa: E731
    return tuple(tuple(zeros(layer.m) for layer in branch.layers) for branch in hidden.branches)


def _add_counts(before: Counts, spiked: Counts) -> Counts:
    return tuple(tuple(a + b for a, b in zip(mine, own, strict=True)) for mine, own in zip(before, spiked, strict=True))


def _empty_features(hidden: Hidden, sequences: Sequences) -> Tensor:
    dtype = torch.bool if hidden.readout.bits else hidden.dtype
    return torch.empty(sequences.rows(hidden.every_step), hidden.n_last, dtype=dtype, device=hidden.device)


def _silent(hidden: Hidden, sequences: Sequences) -> Simulation:
    """A network without branches has no features and never comes near a threshold."""
    state = State((), sequences.lengths.unsqueeze(1))
    return Simulation(_empty_features(hidden, sequences), state, float("inf"), ())


def _restore_order(ended: list[State], order: Tensor) -> State:
    """Join the states of the sequences that ended at each step (the longest ended last) in the original order."""
    inverse = torch.argsort(order)
    return _join_states(ended[::-1], lambda tensors: torch.cat(tensors)[inverse])
