"""What the output layer of an exported network reads of a branch, as modules."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from convexsnn.network import Branch, Hidden
from convexsnn.readouts import Analog, Membrane, Spike
from convexsnn.surrogate import SurrogateShape
from convexsnn.surrogate.shapes import SHAPES


class Fire(nn.Module):
    """1[x >= 0], with a surrogate derivative where a gradient is asked for."""

    def __init__(self, surrogate: SurrogateShape) -> None:
        super().__init__()
        self.width = float(surrogate.width)
        self.bump = SHAPES[surrogate.shape]

    def forward(self, distance: Tensor) -> Tensor:
        """Spikes of potentials at `distance` above the threshold."""
        spikes = (distance >= 0.0).to(distance.dtype)
        if distance.requires_grad:
            # Adds exactly zero, and the derivative: no autograd function, as TorchScript has none.
            flow = self.bump(distance.detach() / self.width) * distance
            spikes = spikes + (flow - flow.detach())
        return spikes


class ReadSpikes(nn.Module):
    """Readout "spike"."""

    def forward(self, spikes: Tensor, membrane: Tensor) -> Tensor:  # noqa: ARG002
        """Features from the last layer's spikes and membranes."""
        return spikes


class ReadAnalog(nn.Module):
    """Readout "analog"."""

    def forward(self, spikes: Tensor, membrane: Tensor) -> Tensor:  # noqa: ARG002
        """Features from the last layer's spikes and membranes."""
        return membrane


class ReadMembrane(nn.Module):
    """Readout "membrane": 1[v - bias >= 0]."""

    def __init__(self, bias: Tensor, surrogate: SurrogateShape) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias)
        self.fire = Fire(surrogate)

    def forward(self, spikes: Tensor, membrane: Tensor) -> Tensor:  # noqa: ARG002
        """Features from the last layer's spikes and membranes."""
        return self.fire(membrane - self.bias)


def reader_of(
    hidden: Hidden, branch: Branch, prepare_bias: Callable[[Tensor], Tensor], surrogate: SurrogateShape
) -> nn.Module:
    """The readout of one branch; `prepare_bias` is applied to the bias of the membrane readout.

    ValueError for a readout that exported modules do not have.
    """
    match hidden.readout:
        case Spike():
            return ReadSpikes()
        case Analog():
            return ReadAnalog()
        case Membrane():
            zeros = torch.zeros(branch.last.m, dtype=hidden.dtype, device=hidden.device)
            bias = zeros if branch.readout_bias is None else branch.readout_bias.clone()
            return ReadMembrane(prepare_bias(bias), surrogate)
        case other:
            raise ValueError(f"exported modules read by spike, membrane or analog, not by {str(other)!r}")
