"""Several readouts of the same neurons side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from convexsnn.readouts.protocol import Accumulated, Box, LastLayer, Reading, Readout


@dataclass(frozen=True)
class Several(Readout):
    """Every neuron is read in several ways, and gives the columns of each.

    Which way counts for which neuron is for the output weights to say.

    Attributes
    ----------
    readouts : tuple of Readout
        The readouts, at least two. A name stands for the kind of that name.
    """

    name: ClassVar[str] = "several"
    bits: ClassVar[bool] = False
    biased: ClassVar[bool] = True

    readouts: tuple[Readout, ...] = ()

    def __post_init__(self) -> None:
        from convexsnn.readouts import as_readout

        own = tuple(map(as_readout, self.readouts))
        if len(own) < 2 or len(set(own)) < len(own) or any(isinstance(readout, Several) for readout in own):
            raise ValueError(f"readouts must be at least two different ones, none of them several: got {own!r}")
        object.__setattr__(self, "readouts", own)

    @property
    def parts(self) -> int:
        """The columns of all."""
        return sum(readout.parts for readout in self.readouts)

    def box(self, steps: int, dtype: torch.dtype) -> Box | None:
        """The smallest box that holds those of all; None where one has none."""
        boxes = [readout.box(steps, dtype) for readout in self.readouts]
        known = [box for box in boxes if box is not None]
        if len(known) < len(boxes):
            return None
        return min(low for low, _ in known), max(high for _, high in known)

    def start(self, zeros: torch.Tensor) -> Accumulated:
        """What all carry."""
        return tuple(tensor for readout in self.readouts for tensor in readout.start(zeros))

    def update(self, last: LastLayer) -> Accumulated:
        """What all carry on."""
        return tuple(tensor for readout, own in self.each(last) for tensor in readout.update(own))

    def after(self, spikes: torch.Tensor, lengths: torch.Tensor) -> Accumulated | None:
        """What all have accumulated; None where one of them goes step by step."""
        own = [readout.after(spikes, lengths) for readout in self.readouts]
        known = [accumulated for accumulated in own if accumulated is not None]
        return tuple(tensor for accumulated in known for tensor in accumulated) if len(known) == len(own) else None

    def kappa(self, reads: Sequence[int]) -> torch.Tensor | None:
        """The kappas of all parts, side by side; None where one part has none."""
        own = [readout.kappa(reads) for readout in self.readouts]
        known = [kappa for kappa in own if kappa is not None]
        return torch.cat(known, dim=2) if len(known) == len(own) else None

    def read(self, last: LastLayer) -> Reading:
        """The features of all, neuron by neuron, and the smallest distance."""
        readings = [readout.read(own) for readout, own in self.each(last)]
        n, m = last.spikes.shape
        parts = [reading.features.to(last.spikes.dtype).view(n, m, -1) for reading in readings]
        margins = [reading.margin for reading in readings if reading.margin is not None]
        margin = torch.stack(margins).amin() if margins else None
        return Reading(torch.cat(parts, dim=2).flatten(start_dim=1), margin)

    def describe(self) -> dict[str, Any]:
        """See `Readout`."""
        return {"kind": self.name, "readouts": [readout.describe() for readout in self.readouts]}

    def __str__(self) -> str:
        return " and ".join(map(str, self.readouts))

    def each(self, last: LastLayer) -> Iterator[tuple[Readout, LastLayer]]:
        """Each readout, with the last layer as it knows it."""
        begun = 0
        for readout in self.readouts:
            size = len(readout.start(last.spikes[:0]))
            yield readout, last._replace(accumulated=last.accumulated[begun : begun + size])
            begun += size
