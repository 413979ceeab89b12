"""What readouts over time share: sums of a neuron's spikes with weights that are fixed before training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.readouts.protocol import Accumulated, Box, LastLayer, Reading, Readout


@dataclass(frozen=True)
class OverTime(Readout):
    """A sum of spikes with weights that are at least 0, however it is kept and divided (theory.md section 7).

    More spikes never read less, also after rounding. So columns lie between 0 and what a neuron reads that fires at
    every step.
    """

    bits: ClassVar[bool] = False

    def box(self, steps: int, dtype: torch.dtype) -> Box:
        """From 0 to the largest number that is read of a neuron which fires at each of up to `steps` steps."""
        ones, seen = torch.ones(1, 1, dtype=dtype), torch.zeros(1, 1, dtype=torch.int64)
        accumulated, largest = self.start(torch.zeros_like(ones)), 0.0
        for _ in range(steps):
            seen = seen + 1
            accumulated = self.update(LastLayer(ones, ones, accumulated, seen, None))
            features = self.read(LastLayer(ones, ones, accumulated, seen, None)).features
            largest = max(largest, float(features.max()))
        return (0.0, largest)

    def kappa(self, reads: Sequence[int]) -> Tensor:
        """What is read of neurons that fire once each, one at every step."""
        steps = max(reads)
        fired, seen = torch.eye(steps, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.int64)
        accumulated, found = self.start(torch.zeros(1, steps, dtype=torch.float64)), {}
        for t in range(steps):
            seen, spikes = seen + 1, fired[t : t + 1]
            accumulated = self.update(LastLayer(spikes, spikes, accumulated, seen, None))
            if t + 1 in reads:
                features = self.read(LastLayer(spikes, spikes, accumulated, seen, None)).features
                found[t + 1] = features.view(steps, self.parts)
        return torch.stack([found[read] for read in reads])

    def read(self, last: LastLayer) -> Reading:
        """The features at a step that is read."""
        return Reading(self.numbers(last).flatten(start_dim=1))

    def start(self, zeros: Tensor) -> Accumulated:
        """One sum."""
        return (zeros,)

    @abstractmethod
    def numbers(self, last: LastLayer) -> Tensor:
        """What is read of each neuron, (n, m), or (n, m, parts)."""
