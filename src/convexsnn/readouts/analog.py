"""The membrane itself at the step that is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from convexsnn.readouts.protocol import LastLayer, Reading, Readout


@dataclass(frozen=True)
class Analog(Readout):
    """v_T, the membrane after reset: real columns, which scale with the hidden weights and have no bound."""

    name: ClassVar[str] = "analog"
    bits: ClassVar[bool] = False

    def box(self, steps: int, dtype: torch.dtype) -> None:
        """None: hidden weights may be scaled up, and membranes with them."""

    def read(self, last: LastLayer) -> Reading:
        """The features at a step that is read."""
        return Reading(last.membrane)
