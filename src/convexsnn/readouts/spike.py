"""The spikes of the step that is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.readouts.protocol import Box, LastLayer, Reading, Readout


@dataclass(frozen=True)
class Spike(Readout):
    """s_T, the spikes of the step that is read."""

    name: ClassVar[str] = "spike"
    bits: ClassVar[bool] = True

    def box(self, steps: int, dtype: torch.dtype) -> Box:  # noqa: ARG002
        """Zeros and ones."""
        return (0.0, 1.0)

    def kappa(self, reads: Sequence[int]) -> Tensor:
        """1 at the last of the steps."""
        return torch.eye(max(reads), dtype=torch.float64)[torch.tensor(reads) - 1].unsqueeze(2)

    def read(self, last: LastLayer) -> Reading:
        """The features at a step that is read."""
        return Reading(last.spikes > 0)
