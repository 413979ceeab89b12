"""What the output layer of an exported network reads of a branch, as modules.

A *reader* is a module ``(spikes, membrane, sums, steps) -> (features, sums)`` for one step.It is given

- the last layer's spikes and membranes after reset, of shape (n, m);
- the sums that it has kept over time, of shape (n, m, k);
- the steps that each sequence has seen, this one among them, of shape (n, 1).

It gives the features, of shape (n, m * parts) with the parts of the first neuron first, and the new sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import List, Tuple  # noqa: UP035 - TorchScript reads these names

import torch
from torch import Tensor, nn

from convexsnn.network import Branch, Hidden
from convexsnn.readouts import Analog, Count, Leaky, Membrane, Rate, Readout, Several, Spike, Windows
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


class Reader(nn.Module):
    """What all readers have: `kept`, the number k of sums that they keep for each neuron."""

    def __init__(self, kept: int) -> None:
        super().__init__()
        self.kept = kept


class ReadSpikes(Reader):
    """Readout "spike"."""

    def forward(self, spikes: Tensor, membrane: Tensor, sums: Tensor, steps: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: ARG002, UP006
        """One step; see the module."""
        return spikes, sums


class ReadAnalog(Reader):
    """Readout "analog"."""

    def forward(self, spikes: Tensor, membrane: Tensor, sums: Tensor, steps: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: ARG002, UP006
        """One step; see the module."""
        return membrane, sums


class ReadMembrane(Reader):
    """Readout "membrane": 1[v - bias >= 0]."""

    def __init__(self, bias: Tensor, surrogate: SurrogateShape) -> None:
        super().__init__(0)
        self.bias = nn.Parameter(bias)
        self.fire = Fire(surrogate)

    def forward(self, spikes: Tensor, membrane: Tensor, sums: Tensor, steps: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: ARG002, UP006
        """One step; see the module."""
        return self.fire(membrane - self.bias), sums


class ReadSum(Reader):
    """Readouts "leaky" and "count": a sum of spikes, multiplied by `mu` at every step; mu is 1 for "count"."""

    def __init__(self, mu: float) -> None:
        super().__init__(1)
        self.mu = mu

    def forward(self, spikes: Tensor, membrane: Tensor, sums: Tensor, steps: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: ARG002, UP006
        """One step; see the module."""
        now = self.mu * sums + spikes.unsqueeze(2)
        return now[:, :, 0], now


class ReadWindows(Reader):
    """Readouts "windows" and "rate": the share of steps of each window at which a neuron fired.

    The last window has no end, so "rate" is a single window.
    """

    def __init__(self, count: int, length: int) -> None:
        super().__init__(count)
        self.count, self.length = count, length

    def forward(self, spikes: Tensor, membrane: Tensor, sums: Tensor, steps: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: ARG002, UP006
        """One step; see the module."""
        window = torch.arange(self.count, device=steps.device)
        seen = steps - self.length * window  # (n, count): steps since each window began
        lengths = torch.where(window == self.count - 1, seen, seen.clamp(max=self.length))
        inside = ((lengths == seen) & (seen > 0)).to(spikes.dtype)
        now = sums + spikes.unsqueeze(2) * inside.unsqueeze(1)
        return (now / lengths.clamp(min=1).unsqueeze(1)).flatten(1), now


class ReadSeveral(Reader):
    """Readout "several": the features of each of `readers`, neuron by neuron."""

    def __init__(self, readers: list[Reader]) -> None:
        sizes = [reader.kept for reader in readers]
        super().__init__(sum(sizes))
        self.readers, self.sizes = nn.ModuleList(readers), sizes

    def forward(self, spikes: Tensor, membrane: Tensor, sums: Tensor, steps: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: UP006
        """One step; see the module."""
        n, m = spikes.shape[0], spikes.shape[1]
        parts = torch.jit.annotate(List[Tensor], [])  # noqa: UP006
        now = torch.jit.annotate(List[Tensor], [])  # noqa: UP006
        before = sums.split(self.sizes, dim=2)
        for i, reader in enumerate(self.readers):
            features, own = reader(spikes, membrane, before[i], steps)
            parts.append(features.view(n, m, -1))
            now.append(own)
        return torch.cat(parts, dim=2).flatten(1), torch.cat(now, dim=2)


def reader_of(
    hidden: Hidden, branch: Branch, prepare_bias: Callable[[Tensor], Tensor], surrogate: SurrogateShape
) -> Reader:
    """The readout of one branch; `prepare_bias` is applied to the bias of the membrane readout.

    ValueError for a readout that exported modules do not have.
    """

    def of(readout: Readout) -> Reader:
        match readout:
            case Spike():
                return ReadSpikes(0)
            case Analog():
                return ReadAnalog(0)
            case Membrane():
                zeros = torch.zeros(branch.last.m, dtype=hidden.dtype, device=hidden.device)
                bias = zeros if branch.readout_bias is None else branch.readout_bias.clone()
                return ReadMembrane(prepare_bias(bias), surrogate)
            case Rate():  # before Count, from which it derives
                return ReadWindows(1, 1)
            case Count():
                return ReadSum(1.0)
            case Leaky():
                return ReadSum(float(readout.mu))
            case Windows():
                return ReadWindows(readout.count, readout.length)
            case Several():
                return ReadSeveral([of(own) for own in readout.readouts])
            case other:
                raise ValueError(f"exported modules do not know the readout {str(other)!r}")

    return of(hidden.readout)
