"""Leaky integrate-and-fire neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, assert_never, get_args

import torch
from torch import Tensor

from convexsnn.neurons.protocol import Fired, Neuron, NeuronState, check_leak, check_values

Reset = Literal["soft", "hard", "none", "delayed"]
RESETS: tuple[str, ...] = get_args(Reset)


@dataclass(frozen=True, eq=False)
class LIF(Neuron):
    """Leaky integrate-and-fire: v- = leak * v + I; s = 1[v- >= threshold]; then v is reset.

    Attributes
    ----------
    leak : float tensor of shape (m,)
        Factor in [0, 1] by which the membrane is kept from one step to the next.
    threshold : float tensor of shape (m,)
        The threshold theta of each neuron.
    reset : {"soft", "hard", "none", "delayed"}
        v = v- - threshold * s; v = (1 - s) * v-; or v = v-. "delayed" keeps v = v- and subtracts the threshold, not
        multiplied by leak, in the step after: v- = leak * v + I - threshold * 1[v >= threshold]. That is snnTorch's
        `Leaky` as it comes (reset "subtract", reset_delay=True), apart from exact ties, where snnTorch does not fire.
    """

    name: ClassVar[str] = "lif"

    leak: Tensor
    threshold: Tensor
    reset: Reset = "soft"

    def __post_init__(self) -> None:
        if self.reset not in RESETS:
            raise ValueError(f"reset must be one of {', '.join(map(repr, RESETS))}, got {self.reset!r}")
        check_leak("leak", self.leak)
        check_values("threshold", self.threshold)

    def step(self, current: Tensor, state: NeuronState) -> Fired:
        """One time step; the state is the membrane alone."""
        (membrane,) = state
        potential = self.leak * membrane + current
        if self.reset == "delayed":
            potential = torch.where(membrane >= self.threshold, potential - self.threshold, potential)
        distance = potential - self.threshold
        spikes = potential >= self.threshold
        match self.reset:
            case "soft":
                membrane = torch.where(spikes, distance, potential)
            case "hard":
                membrane = potential.masked_fill(spikes, 0.0)
            case "none" | "delayed":
                membrane = potential
            case _:
                assert_never(self.reset)
        return Fired(spikes, (membrane,), distance)


def lif(m: int, leak: float, threshold: float, reset: Reset, dtype: torch.dtype = torch.float64) -> LIF:
    """`m` equal LIF neurons."""
    return LIF(torch.full((m,), leak, dtype=dtype), torch.full((m,), threshold, dtype=dtype), reset)


# The largest of the leaks 0, 1/2, 3/4, 7/8 and so on that are chosen.
MOST_DYADIC = 127 / 128


def dyadic(leak: Tensor) -> Tensor:
    """The nearest of the leaks 1 - 2**-k, on the logarithmic axis of 1 - leak, of at most `MOST_DYADIC`."""
    return 1.0 - torch.exp2(torch.log2(1.0 - leak.clamp(max=MOST_DYADIC)).round())
