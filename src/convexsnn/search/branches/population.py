"""Many small branches of one shape, kept as one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.checks import check_choice
from convexsnn.network import Branch, Layer
from convexsnn.neurons import LIF, Reset, Threshold
from convexsnn.readouts import Readout
from convexsnn.search.branches.reading import check_scored


@dataclass(frozen=True, eq=False)
class StackedLayer:
    """The same layer of B branches. Threshold units are LIF neurons of leak 0, threshold 0 and no reset.

    Attributes
    ----------
    weight : float tensor of shape (B, n_in, m)
    recurrent : float tensor of shape (B, m, m), or None
    bias : float tensor of shape (B, m), or None
    leak, threshold : float tensors of shape (B, m)
    """

    weight: Tensor
    recurrent: Tensor | None
    bias: Tensor | None
    leak: Tensor
    threshold: Tensor

    def map(self, function) -> StackedLayer:
        """`function` of every tensor."""
        given: dict = {name: None if tensor is None else function(tensor) for name, tensor in vars(self).items()}
        return StackedLayer(**given)


@dataclass(frozen=True, eq=False)
class Population:
    """B branches of one shape.

    Attributes
    ----------
    layers : tuple of StackedLayer
        First to last.
    neuron : {"lif", "threshold"}
    reset : {"soft", "hard", "none", "delayed"}
    readout : Readout

    Raises
    ------
    ValueError
        For a neuron or readout that the search's simulator does not know.
    """

    layers: tuple[StackedLayer, ...]
    neuron: str
    reset: Reset
    readout: Readout

    def __post_init__(self) -> None:
        check_choice("neuron", self.neuron, ("lif", "threshold"))
        check_scored(self.readout)

    def __len__(self) -> int:
        return len(self.layers[0].weight)

    @property
    def shape(self) -> tuple[tuple[int, ...], ...]:
        """Of each layer its inputs, its neurons, and whether they hear one another. Equal ones can be joined."""
        return tuple((*layer.weight.shape[1:], layer.recurrent is not None) for layer in self.layers)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.layers[0].weight.device

    @property
    def widest(self) -> int:
        """Neurons of the widest layer."""
        return max(layer.leak.shape[1] for layer in self.layers)

    @property
    def m_last(self) -> int:
        """Neurons of a branch's last layer."""
        return self.layers[-1].leak.shape[1]

    @property
    def n_last(self) -> int:
        """Columns of a branch: of each last-layer neuron as many as the readout has parts."""
        return self.m_last * self.readout.parts

    def map(self, function) -> Population:
        """`function` of every tensor."""
        return replace(self, layers=tuple(layer.map(function) for layer in self.layers))

    def to(self, device: torch.device) -> Population:
        """The same branches on a device."""
        return self.map(lambda tensor: tensor.to(device))

    def take(self, index: Tensor | slice) -> Population:
        """The branches named by `index`."""
        return self.map(lambda tensor: tensor[index])

    def with_last(self, layer: StackedLayer) -> Population:
        """The same branches with another last layer."""
        return replace(self, layers=(*self.layers[:-1], layer))

    def with_first_weight(self, weight: Tensor) -> Population:
        """The same branches with other weights (B, d, m) from the input."""
        return replace(self, layers=(replace(self.layers[0], weight=weight), *self.layers[1:]))

    def branch(self, b: int, dtype: torch.dtype) -> Branch:
        """Branch number `b` as data."""
        return Branch(tuple(self._layer(layer, b, dtype) for layer in self.layers))

    def _layer(self, layer: StackedLayer, b: int, dtype: torch.dtype) -> Layer:
        def pick(tensor: Tensor) -> Tensor:
            return tensor[b].to(dtype, copy=True)

        lif = self.neuron == "lif"
        neuron = LIF(pick(layer.leak), pick(layer.threshold), self.reset) if lif else Threshold()
        recurrent = None if layer.recurrent is None else pick(layer.recurrent)
        return Layer(pick(layer.weight), neuron, recurrent, None if layer.bias is None else pick(layer.bias))


def join_populations(*parts: Population) -> Population:
    """Several populations of one shape as one."""

    def together(same: tuple[StackedLayer, ...]) -> StackedLayer:
        columns = {name: [getattr(layer, name) for layer in same] for name in StackedLayer.__dataclass_fields__}
        joined: dict = {name: None if tensors[0] is None else torch.cat(tensors) for name, tensors in columns.items()}
        return StackedLayer(**joined)

    return replace(parts[0], layers=tuple(map(together, zip(*(part.layers for part in parts), strict=True))))
