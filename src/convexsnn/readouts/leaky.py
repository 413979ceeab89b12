"""A leaky sum of spikes: a neuron at the output that integrates and never fires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from convexsnn.checks import check_real
from convexsnn.readouts.over_time import OverTime
from convexsnn.readouts.protocol import Accumulated, LastLayer


@dataclass(frozen=True)
class Leaky(OverTime):
    """sum_t mu^(T - t) s_t: spikes count the less, the longer ago they were.

    Attributes
    ----------
    mu : float
        The sum is multiplied by this at every step, before the spikes of the step are added: 0 to 1.
    """

    name: ClassVar[str] = "leaky"

    mu: float = 0.9

    def __post_init__(self) -> None:
        check_real("mu", self.mu, 0.0, 1.0)

    def update(self, last: LastLayer) -> Accumulated:
        """One sum, which leaks."""
        return (self.mu * last.accumulated[0] + last.spikes,)

    def numbers(self, last: LastLayer) -> Tensor:
        """The sum."""
        return last.accumulated[0]
