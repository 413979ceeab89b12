"""The layer that is polished: a Linear, or a 1 x 1 convolution, which does the same at a single place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class OutputLayer:
    """A layer that gives W x + b of what it reads.

    Attributes
    ----------
    layer : torch.nn.Module
        A `torch.nn.Linear`, or a convolution for which `is_pointwise` holds.
    places : int
        The number of axes after the features that hold places: 0 for a Linear, 2 for a Conv2d.
    """

    layer: nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
    places: int

    @classmethod
    def of(cls, layer: nn.Module) -> OutputLayer | None:
        """The layer as a readout; None where it is of no kind that can be solved for."""
        if isinstance(layer, nn.Linear):
            return cls(layer, 0)
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and is_pointwise(layer):
            return cls(layer, len(layer.kernel_size))
        return None

    @property
    def weight(self) -> Tensor:
        """The weights (C, F): a view, so what is written into it is written into the layer."""
        return self.layer.weight[(..., *(0,) * self.places)]

    @property
    def bias(self) -> Tensor | None:
        """The biases (C,), where there are some."""
        return self.layer.bias

    @property
    def in_features(self) -> int:
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        return self.weight.shape[0]

    def without_places(self, value: Tensor) -> Tensor:
        """What goes into the layer, or comes out of it, with the features as the last axis.

        Raises
        ------
        ValueError
            When a convolution is applied at several places.
        """
        if not self.places:
            return value
        shape = tuple(value.shape[-self.places :])
        if any(size != 1 for size in shape):
            raise ValueError(
                f"readout is a 1 x 1 convolution at {' x '.join(map(str, shape))} places: let the pooling over places "
                "come before it, which gives the same outputs; then it is solved for like a Linear"
            )
        return value.flatten(-self.places - 1)

    @torch.no_grad()
    def write(self, weight: Tensor, bias: Tensor | None) -> None:
        """Put weights (C, F) and biases (C,) into the layer."""
        self.weight.copy_(weight)
        if self.bias is not None and bias is not None:
            self.bias.copy_(bias)


def is_pointwise(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> bool:
    """Whether a convolution sees one place at a time, and all features there."""
    unpadded = layer.padding in ("same", "valid") or set(layer.padding) == {0}
    return unpadded and set(layer.kernel_size) == set(layer.stride) == {1} and layer.groups == 1
