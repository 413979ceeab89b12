"""Neurons whose membrane is the difference of two decaying currents: an alpha function of each spike that comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, assert_never, get_args

from torch import Tensor

from convexsnn.checks import check_choice
from convexsnn.neurons.protocol import Fired, Neuron, NeuronState, check_leak, check_values

AlphaReset = Literal["refractory", "none"]


@dataclass(frozen=True, eq=False)
class Alpha(Neuron):
    """Neurons with a membrane that rises and falls smoothly: v- = gain * (e + i); s = 1[v- >= threshold].

    The exciting current is e = excitation_leak * e + I, the inhibiting one i = inhibition_leak * i - I. snnTorch's
    `Alpha`, apart from exact ties, where snnTorch does not fire.

    Attributes
    ----------
    excitation_leak, inhibition_leak : float tensors of shape (m,)
        Factors in [0, 1] by which the currents are kept from one step to the next.
    gain : float tensor of shape (m,)
    threshold : float tensor of shape (m,)
        The threshold theta of each neuron.
    reset : {"refractory", "none"}
        With "refractory" membrane and currents are 0 in the step after a spike, whatever flows in.
    """

    name: ClassVar[str] = "alpha"

    excitation_leak: Tensor
    inhibition_leak: Tensor
    gain: Tensor
    threshold: Tensor
    reset: AlphaReset = "refractory"

    def __post_init__(self) -> None:
        check_choice("reset", self.reset, get_args(AlphaReset))
        check_leak("excitation_leak", self.excitation_leak)
        check_leak("inhibition_leak", self.inhibition_leak)
        check_values("gain", self.gain)
        check_values("threshold", self.threshold)

    def initial_state(self, zeros: Tensor) -> NeuronState:
        """Membrane and both currents."""
        return (zeros, zeros, zeros)

    def step(self, current: Tensor, state: NeuronState) -> Fired:
        """One time step; the state is the membrane, the exciting and the inhibiting current."""
        membrane, excitation, inhibition = state
        excitation = self.excitation_leak * excitation + current
        inhibition = self.inhibition_leak * inhibition - current
        after = (self.gain * (excitation + inhibition), excitation, inhibition)
        match self.reset:
            case "refractory":
                late = membrane >= self.threshold
                after = tuple(tensor.masked_fill(late, 0.0) for tensor in after)
            case "none":
                pass
            case _:
                assert_never(self.reset)
        return Fired(after[0] >= self.threshold, after, after[0] - self.threshold)
