"""How often a neuron fired in each part of a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.checks import check_integer
from convexsnn.readouts.over_time import OverTime
from convexsnn.readouts.protocol import Accumulated, LastLayer


@dataclass(frozen=True)
class Windows(OverTime):
    """The share of the steps of each window at which a neuron fired: one column for each window.

    Windows follow each other from the first step on, and the last goes on to the end of the sequence. What is read of a
    window that a sequence has not reached is 0.

    Attributes
    ----------
    count : int
        There are this many windows: at least 1.
    length : int
        Each window but the last has this many steps: at least 1.
    """

    name: ClassVar[str] = "windows"

    count: int
    length: int

    def __post_init__(self) -> None:
        check_integer("count", self.count)
        check_integer("length", self.length)

    @property
    def parts(self) -> int:
        """One column for each window."""
        return self.count

    def update(self, last: LastLayer) -> Accumulated:
        """One sum for each window: the spikes in it so far."""
        within = self._within(last.steps)
        return tuple(
            before + torch.where(within == j, last.spikes, torch.zeros_like(last.spikes))
            for j, before in enumerate(last.accumulated)
        )

    def numbers(self, last: LastLayer) -> tuple[Tensor, ...]:
        """The spikes of each window, divided by the steps of it so far."""
        return tuple(spikes / self._steps_in(j, last.steps) for j, spikes in enumerate(last.accumulated))

    def _within(self, steps: Tensor) -> Tensor:
        """The window of the last of `steps` steps."""
        return torch.div(steps - 1, self.length, rounding_mode="floor").clamp(max=self.count - 1)

    def _steps_in(self, j: int, steps: Tensor) -> Tensor:
        """How many of `steps` steps lie in window `j`; 1 where there are none."""
        seen = steps - j * self.length
        return (seen if j == self.count - 1 else seen.clamp(max=self.length)).clamp(min=1)
