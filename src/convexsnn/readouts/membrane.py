"""The sign of the membrane at the step that is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from convexsnn.readouts.protocol import Box, LastLayer, Reading, Readout


@dataclass(frozen=True)
class Membrane(Readout):
    """1[v_T - readout_bias >= 0], on the membrane after reset; a branch without readout_bias has zero."""

    name: ClassVar[str] = "membrane"
    bits: ClassVar[bool] = True
    biased: ClassVar[bool] = True

    def box(self, steps: int, dtype: torch.dtype) -> Box:  # noqa: ARG002
        """Zeros and ones."""
        return (0.0, 1.0)

    def read(self, last: LastLayer) -> Reading:
        """The features at a step that is read."""
        membrane = last.membrane if last.bias is None else last.membrane - last.bias
        return Reading(membrane >= 0, membrane.abs().amin())
