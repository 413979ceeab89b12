"""Our neurons as torch modules, one class a kind: the equations of their `step` once more, to be scripted and trained.

A cell is as `wiring` says. It fires on >=, and has a surrogate derivative where a gradient is asked for.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Tuple, assert_never, cast  # noqa: UP035 - TorchScript reads Tuple

import torch
from torch import Tensor, nn

from convexsnn.export.readers import Fire
from convexsnn.network import Layer, lif_of
from convexsnn.neurons import LIF, Alpha, Neuron, Reset, Synaptic, Threshold
from convexsnn.neurons.alpha import AlphaReset
from convexsnn.neurons.synaptic import SynapticReset
from convexsnn.surrogate.module import Gradients


def cell_of(layer: Layer, gradients: Gradients) -> PlainCell:
    """The cell of a layer's neurons; ValueError for a kind that has none."""
    match layer.neuron:
        case Synaptic() as neuron:
            return SynapticCell(neuron, gradients)
        case Alpha() as neuron:
            return AlphaCell(neuron, gradients)
        case other:
            return LIFCell(lif_of(layer, "to_torch"), gradients, threshold_unit=isinstance(other, Threshold))


class PlainCell(nn.Module):
    """What all cells of ours have: how late resets have a gradient, and `kept`, the numbers a neuron carries."""

    def __init__(self, gradients: Gradients, kept: int) -> None:
        super().__init__()
        self.detach_reset = gradients.detach_reset
        self.fire = Fire(gradients.surrogate)
        self.kept = kept

    @abstractmethod
    def to_neuron(self) -> Neuron:
        """The neurons as data."""


class LIFCell(PlainCell):
    """LIF neurons of ours, all resets; carries the membrane after reset."""

    def __init__(self, neuron: LIF, gradients: Gradients, *, threshold_unit: bool) -> None:
        super().__init__(gradients, 1)
        match neuron.reset:  # those that `forward` knows; TorchScript has no match
            case "soft" | "hard" | "none" | "delayed":
                self.reset: str = neuron.reset
            case _:
                assert_never(neuron.reset)
        self.threshold_unit = threshold_unit
        self.leak = _parameter(neuron.leak, learned=gradients.learn_leak and not threshold_unit)
        self.threshold = _parameter(neuron.threshold, learned=gradients.learn_threshold and not threshold_unit)

    def forward(self, current: Tensor, carried: Tensor, spikes: Tensor) -> Tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002, UP006
        """One step; see `wiring`."""
        potential = self.leak * carried + current
        if self.reset == "delayed":
            late = self.fire(carried - self.threshold)
            potential = potential - (late.detach() if self.detach_reset else late) * self.threshold
        fired = self.fire(potential - self.threshold)
        drop = fired.detach() if self.detach_reset else fired
        membrane = potential
        if self.reset == "soft":
            membrane = potential - drop * self.threshold
        elif self.reset == "hard":
            membrane = potential * (1.0 - drop)
        return fired, membrane, membrane

    def to_neuron(self) -> Neuron:
        """See `PlainCell`."""
        if self.threshold_unit:
            return Threshold()
        return LIF(_data(self.leak), _data(self.threshold), cast(Reset, self.reset))


class SynapticCell(PlainCell):
    """Synaptic neurons of ours; carries the membranes of all neurons, then their synaptic currents."""

    def __init__(self, neuron: Synaptic, gradients: Gradients) -> None:
        super().__init__(gradients, 2)
        match neuron.reset:
            case "delayed" | "refractory" | "hard" | "none":
                self.reset: str = neuron.reset
            case _:
                assert_never(neuron.reset)
        self.leak = _parameter(neuron.leak, learned=gradients.learn_leak)
        self.synapse_leak = _parameter(neuron.synapse_leak, learned=gradients.learn_leak)
        self.threshold = _parameter(neuron.threshold, learned=gradients.learn_threshold)

    def forward(self, current: Tensor, carried: Tensor, spikes: Tensor) -> Tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002, UP006
        """One step; see `wiring`."""
        m = current.shape[1]
        membrane, synapse = carried[:, :m], self.synapse_leak * carried[:, m:] + current
        potential = self.leak * membrane + synapse
        late = self.fire(membrane - self.threshold)
        late = late.detach() if self.detach_reset else late
        if self.reset == "delayed":
            potential = potential - late * self.threshold
        elif self.reset == "refractory":
            potential = potential * (1.0 - late)
        fired = self.fire(potential - self.threshold)
        membrane = potential
        if self.reset == "hard":
            membrane = potential * (1.0 - (fired.detach() if self.detach_reset else fired))
        return fired, torch.cat([membrane, synapse], dim=1), membrane

    def to_neuron(self) -> Neuron:
        """See `PlainCell`."""
        leak, synapse_leak, threshold = map(_data, (self.leak, self.synapse_leak, self.threshold))
        return Synaptic(leak, synapse_leak, threshold, cast(SynapticReset, self.reset))


class AlphaCell(PlainCell):
    """Alpha neurons of ours; carries the membranes of all neurons, then their exciting and inhibiting currents."""

    def __init__(self, neuron: Alpha, gradients: Gradients) -> None:
        super().__init__(gradients, 3)
        match neuron.reset:
            case "refractory" | "none":
                self.reset: str = neuron.reset
            case _:
                assert_never(neuron.reset)
        self.excitation_leak = _parameter(neuron.excitation_leak, learned=gradients.learn_leak)
        self.inhibition_leak = _parameter(neuron.inhibition_leak, learned=gradients.learn_leak)
        self.gain = _parameter(neuron.gain, learned=False)
        self.threshold = _parameter(neuron.threshold, learned=gradients.learn_threshold)

    def forward(self, current: Tensor, carried: Tensor, spikes: Tensor) -> Tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002, UP006
        """One step; see `wiring`."""
        m = current.shape[1]
        excitation = self.excitation_leak * carried[:, m : 2 * m] + current
        inhibition = self.inhibition_leak * carried[:, 2 * m :] - current
        membrane = self.gain * (excitation + inhibition)
        if self.reset == "refractory":
            late = self.fire(carried[:, :m] - self.threshold)
            kept = 1.0 - (late.detach() if self.detach_reset else late)
            membrane, excitation, inhibition = membrane * kept, excitation * kept, inhibition * kept
        fired = self.fire(membrane - self.threshold)
        return fired, torch.cat([membrane, excitation, inhibition], dim=1), membrane

    def to_neuron(self) -> Neuron:
        """See `PlainCell`."""
        leaks = _data(self.excitation_leak), _data(self.inhibition_leak)
        return Alpha(*leaks, _data(self.gain), _data(self.threshold), cast(AlphaReset, self.reset))


def _parameter(tensor: Tensor, *, learned: bool) -> nn.Parameter:
    return nn.Parameter(tensor.clone(), requires_grad=learned)


def _data(parameter: nn.Parameter) -> Tensor:
    return parameter.detach().clone()
