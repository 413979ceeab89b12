"""Leaky integrate-and-fire neurons with a synaptic current that decays, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, assert_never, get_args

import torch
from torch import Tensor

from convexsnn.checks import check_choice
from convexsnn.neurons.protocol import Fired, Neuron, NeuronState, check_leak, check_values

SynapticReset = Literal["hard", "delayed", "refractory", "none"]


@dataclass(frozen=True, eq=False)
class Synaptic(Neuron):
    """LIF with a synaptic current: i = synapse_leak * i + I; v- = leak * v + i; s = 1[v- >= threshold].

    snnTorch's `Synaptic`, apart from exact ties, where snnTorch does not fire. The synaptic current is never reset.

    Attributes
    ----------
    leak : float tensor of shape (m,)
        Factor in [0, 1] by which the membrane is kept from one step to the next.
    synapse_leak : float tensor of shape (m,)
        The share of the synaptic current that is left after a step, from 0 to 1.
    threshold : float tensor of shape (m,)
        The threshold theta of each neuron.
    reset : {"delayed", "refractory", "hard", "none"}
        "delayed" subtracts the threshold in the step after a spike; with "refractory" the membrane is 0 in that step,
        whatever flows in; "hard" sets v = 0 at once; "none" keeps v = v-.
    """

    name: ClassVar[str] = "synaptic"

    leak: Tensor
    synapse_leak: Tensor
    threshold: Tensor
    reset: SynapticReset = "delayed"

    def __post_init__(self) -> None:
        check_choice("reset", self.reset, get_args(SynapticReset))
        check_leak("leak", self.leak)
        check_leak("synapse_leak", self.synapse_leak)
        check_values("threshold", self.threshold)

    def initial_state(self, zeros: Tensor) -> NeuronState:
        """Membrane and synaptic current."""
        return (zeros, zeros)

    def step(self, current: Tensor, state: NeuronState) -> Fired:
        """One time step; the state is the membrane and the synaptic current."""
        membrane, synapse = state
        synapse = self.synapse_leak * synapse + current
        potential, late = self.leak * membrane + synapse, membrane >= self.threshold
        match self.reset:
            case "delayed":
                potential = torch.where(late, potential - self.threshold, potential)
            case "refractory":
                potential = potential.masked_fill(late, 0.0)
            case "hard" | "none":
                pass
            case _:
                assert_never(self.reset)
        spikes = potential >= self.threshold
        membrane = potential.masked_fill(spikes, 0.0) if self.reset == "hard" else potential
        return Fired(spikes, (membrane, synapse), potential - self.threshold)
