"""What a network costs to run, in NeuroBench's terms.

Per inference means per sequence, all its steps together, averaged over sequences. A synaptic operation is effective
when its weight and the activation that meets it are both nonzero. It is an accumulate (AC) where the activations are
-1, 0 or 1 only, such as spikes. Otherwise it is a multiply-accumulate (MAC). Biases and leaks are not counted. Neurons
that can never spike work on the input itself, so all their connections count as MACs, whatever the input is.

References
----------
Yik et al., "The NeuroBench framework for benchmarking neuromorphic computing algorithms and systems", Nature
Communications 16 (2025): connection sparsity, activation sparsity, synaptic operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.network import Hidden, Layer, Network
from convexsnn.readouts import Several
from convexsnn.sequences import Sequences, SequenceSource
from convexsnn.simulation import LayerState, Simulation, simulate_chunks


@dataclass(frozen=True)
class Cost:
    """Cost of inference of a network on given sequences.

    Attributes
    ----------
    neurons : int
        Hidden neurons.
    silent_neurons : int
        Those of them that can never spike, and pass the input on to the output (`SpikingRegressor`'s bypass).
    synapses : int
        Nonzero connections, readout included.
    connection_sparsity : float
        Share of connections that are zero; 0 for a network without any.
    activation_sparsity : float
        Share of neurons and steps without a spike, among neurons that can spike; 1 for a network without any.
    spikes_per_inference : float
        Spikes of all hidden neurons, summed over the steps of a sequence, averaged over sequences.
    effective_acs, effective_macs : float
        Effective synaptic operations per inference.
    dense_operations : float
        Synaptic operations per inference if none were skipped.
    """

    neurons: int
    silent_neurons: int
    synapses: int
    connection_sparsity: float
    activation_sparsity: float
    spikes_per_inference: float
    effective_acs: float
    effective_macs: float
    dense_operations: float


@dataclass
class Tally:
    """Sums over an inference run, made into a `Cost` at the end."""

    spikes: float = 0.0
    activations: float = 0.0
    acs: float = 0.0
    macs: float = 0.0
    dense: float = 0.0

    def operate(self, effective: float, dense: float, *, binary: bool) -> None:
        """Count the operations of one set of connections."""
        self.acs += effective if binary else 0.0
        self.macs += 0.0 if binary else effective
        self.dense += dense

    def cost(self, *, neurons: int, synapses: int, connections: int, inferences: int, silent: int = 0) -> Cost:
        """The sums per inference."""
        return Cost(
            neurons=neurons,
            silent_neurons=silent,
            synapses=synapses,
            connection_sparsity=1.0 - synapses / connections if connections else 0.0,
            activation_sparsity=1.0 - self.spikes / self.activations if self.activations else 1.0,
            spikes_per_inference=self.spikes / inferences,
            effective_acs=self.acs / inferences,
            effective_macs=self.macs / inferences,
            dense_operations=self.dense / inferences,
        )


@isolated
def inference_cost(network: Network, sequences: SequenceSource) -> Cost:
    """Run the hidden layers over `sequences` and count; the readout works once a row of the dictionary."""
    hidden = network.hidden
    tally, steps = Tally(), int(sequences.lengths.sum())
    binary, seen = _input_of(hidden, sequences)
    rows = sequences.rows(hidden.every_step)
    bits, silent = _columns_of(hidden)
    fan_out = (network.W != 0).sum(dim=1)
    for part in simulate_chunks(hidden, sequences):
        tally.spikes += part.n_spikes
        for layer, below, last in _fed_by_spikes(network, part):
            _count(tally, layer, below, last)
        used = (part.features != 0).sum(dim=0)
        tally.operate(_dot(used, fan_out * (bits & ~silent)), 0.0, binary=True)
        tally.operate(_dot(used, fan_out * ~(bits | silent)), 0.0, binary=False)
    tally.operate(rows * _dot(silent, fan_out), 0.0, binary=False)
    for branch in hidden.branches:
        first = branch.layers[0]
        reached = (first.weight != 0).sum(dim=1)
        if branch.silent:
            tally.operate(float(steps * reached.sum()), 0.0, binary=False)
        else:
            tally.operate(_dot(seen[first.delays], reached), 0.0, binary=binary)
    weights = [tensor for layer in hidden.layers() for tensor in (layer.weight, layer.recurrent) if tensor is not None]
    tally.dense = float(steps * sum(weight.numel() for weight in weights) + rows * network.W.numel())
    tally.activations = float(steps * (hidden.n_neurons - hidden.n_silent))
    connections = sum(weight.numel() for weight in [*weights, network.W])
    return tally.cost(
        neurons=hidden.n_neurons,
        silent=hidden.n_silent,
        synapses=network.n_synapses,
        connections=connections,
        inferences=len(sequences),
    )


def _columns_of(hidden: Hidden) -> tuple[Tensor, Tensor]:
    """Which columns are bits, and which are of neurons that can never spike: two bool tensors of shape (P_last,)."""
    each = hidden.readout.readouts if isinstance(hidden.readout, Several) else (hidden.readout,)
    bits = torch.tensor([readout.bits for readout in each for _ in range(readout.parts)])
    silent = torch.tensor([branch.silent for branch in hidden.branches for _ in range(branch.last.m)], dtype=torch.bool)
    columns = bits.repeat(len(silent)), silent.repeat_interleave(hidden.readout.parts)
    return columns[0].to(hidden.device), columns[1].to(hidden.device)


def _input_of(hidden: Hidden, sequences: SequenceSource) -> tuple[bool, dict[tuple[int, ...], Tensor]]:
    """Whether all input is binary, and `_seen` for the delays of each first layer."""
    each = {branch.layers[0].delays for branch in hidden.branches if not branch.silent}
    binary, seen = True, dict.fromkeys(each, torch.zeros((), dtype=torch.int64, device=hidden.device))
    for chunk in sequences.in_numbers():
        part = chunk.to(hidden.device, hidden.dtype)
        binary &= is_binary(part.values[part.shown])
        seen = {delays: count + _seen(part, delays) for delays, count in seen.items()}
    return binary, seen


def _seen(sequences: Sequences, delays: tuple[int, ...]) -> Tensor:
    """At how many steps each feature is not zero when it arrives, delay by delay: int64 of shape (len(delays) * d,)."""
    steps = torch.arange(sequences.n_steps, device=sequences.values.device)
    left = sequences.lengths.unsqueeze(1) - steps
    active = sequences.values != 0
    return torch.cat([(active & (left > delay).unsqueeze(2)).sum(dim=(0, 1)) for delay in delays])


def is_binary(values: Tensor) -> bool:
    """Whether all entries are -1, 0 or 1."""
    return bool(((values == 0) | (values.abs() == 1)).all())


Own = tuple[Tensor, LayerState]
"""Spike counts of a layer, and its last state."""


def _fed_by_spikes(network: Network, part: Simulation) -> Iterator[tuple[Layer, Tensor | None, Own]]:
    """Each layer, spike counts of the layer below (None for the input), and its own counts and last state."""
    for branch, counts, own in zip(network.hidden.branches, part.counts, part.state.branches, strict=True):
        for i, layer in enumerate(branch.layers):
            yield layer, counts[i - 1] if i else None, (counts[i], own.layers[i])


def _count(tally: Tally, layer: Layer, below: Tensor | None, own: Own) -> None:
    """Operations that spikes cause: in the layer above, when they arrive there, and in their own one step later."""
    counts, last = own
    if below is not None:
        # Spikes that are still under way after the last step do not arrive.
        late = [sum((shown.sum(dim=0) for shown in last.past[:delay]), torch.zeros(())) for delay in layer.delays]
        arrived = torch.cat([below - left.to(below) for left in late])
        tally.operate(_dot(arrived, (layer.weight != 0).sum(dim=1)), 0.0, binary=True)
    if layer.recurrent is not None:
        earlier = counts - last.spikes.sum(dim=0).to(counts.dtype)  # nothing comes after the last step
        tally.operate(_dot(earlier, (layer.recurrent != 0).sum(dim=1)), 0.0, binary=True)


def _dot(counts: Tensor, fan_out: Tensor) -> float:
    return float(counts.to(torch.float64) @ fan_out.to(torch.float64))
