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

    def start(self, zeros: Tensor) -> Accumulated:
        """One sum for each window, in one tensor (n, m, count)."""
        return (zeros.unsqueeze(2).repeat(1, 1, self.count),)

    def update(self, last: LastLayer) -> Accumulated:
        """The spikes are added to the sum of the window in which the step lies."""
        here = (last.steps - 1).div(self.length, rounding_mode="floor").clamp(max=self.count - 1)
        within = torch.arange(self.count, device=here.device) == here  # (n, count)
        return (torch.addcmul(last.accumulated[0], last.spikes.unsqueeze(2), within.unsqueeze(1).to(last.spikes)),)

    def after(self, spikes: Tensor, lengths: Tensor) -> Accumulated:  # noqa: ARG002
        """The spikes of the steps of each window."""
        begun = [min(j * self.length, spikes.shape[1]) for j in range(self.count)]
        ends = [*begun[1:], spikes.shape[1]]
        return (torch.stack([spikes[:, a:b].sum(dim=1) for a, b in zip(begun, ends, strict=True)], dim=2),)

    def numbers(self, last: LastLayer) -> Tensor:
        """The spikes of each window, divided by the steps of it so far."""
        begun = torch.arange(self.count, device=last.steps.device) * self.length
        seen = last.steps - begun  # (n, count)
        seen[:, :-1].clamp_(max=self.length)
        return last.accumulated[0] / seen.clamp(min=1).unsqueeze(1)
