"""How often a neuron fired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from convexsnn.readouts.over_time import OverTime
from convexsnn.readouts.protocol import Accumulated, LastLayer


@dataclass(frozen=True)
class Count(OverTime):
    """sum_t s_t, the number of steps up to the one that is read at which a neuron fired."""

    name: ClassVar[str] = "count"

    def update(self, last: LastLayer) -> Accumulated:
        """One sum: the spikes so far."""
        return (last.accumulated[0] + last.spikes,)

    def after(self, spikes: Tensor, lengths: Tensor) -> Accumulated:  # noqa: ARG002
        """The spikes of all steps: whole numbers, whose sum has no rounding."""
        return (spikes.sum(dim=1),)

    def numbers(self, last: LastLayer) -> Tensor:
        """The spikes so far."""
        return last.accumulated[0]


@dataclass(frozen=True)
class Rate(Count):
    """sum_t s_t / T, the share of the steps up to the one that is read at which a neuron fired."""

    name: ClassVar[str] = "rate"

    def numbers(self, last: LastLayer) -> Tensor:
        """The spikes so far, divided by the steps so far."""
        return last.accumulated[0] / last.steps
