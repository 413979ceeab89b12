"""Threshold units, which have no memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from convexsnn.neurons.protocol import Fired, Neuron, NeuronState


@dataclass(frozen=True)
class Threshold(Neuron):
    """Memoryless threshold unit: s = 1[I >= 0]. With recurrent weights, a recurrent threshold network."""

    name: ClassVar[str] = "threshold"

    def step(self, current: Tensor, state: NeuronState) -> Fired:  # noqa: ARG002 - it has no memory
        """One time step; the "membrane" is the current itself."""
        return Fired(current >= 0, (current,), current)
