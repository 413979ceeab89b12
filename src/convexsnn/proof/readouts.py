"""What is read of the last layers: the readouts whose columns follow from spikes by sums and quotients.

Sums of spikes and their quotients are rounded to the nearest number of the network's dtype, as IEEE arithmetic has it.
So every column is a definite float, and the program's columns are these floats, not the quotients before rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SETTINGS: dict[str, set[str]] = {
    "spike": set(),
    "membrane": set(),
    "analog": set(),
    "rate": set(),
    "count": set(),
    "leaky": {"mu"},
    "windows": {"count", "length"},
    "several": {"readouts"},
}
"""The readouts that a model may have, and the settings of each."""


@dataclass(frozen=True)
class StoredReadout:
    """A readout by its name, and the settings that it has; `readouts` are those of "several"."""

    kind: str
    mu: float = 1.0
    count: int = 1
    length: int = 1
    readouts: tuple[StoredReadout, ...] = ()

    @property
    def parts(self) -> int:
        """Columns that each neuron gives."""
        return sum(own.parts for own in self.readouts) if self.kind == "several" else self.count

    @property
    def kept(self) -> int:
        """Sums that are kept for each neuron."""
        if self.kind == "several":
            return sum(own.kept for own in self.readouts)
        return self.count if self.kind in ("rate", "count", "leaky", "windows") else 0

    @property
    def bits(self) -> bool:
        """Whether the columns of this readout are 0/1."""
        return self.kind in ("spike", "membrane")

    @property
    def analog(self) -> bool:
        """Whether this readout reads membranes, whose numbers depend on the order in which sums are taken."""
        return self.kind == "analog" or any(own.analog for own in self.readouts)


def read_readout(facts: Any) -> StoredReadout:
    """A readout as a model's header has it: a name, or a mapping of its kind and settings.

    Raises
    ------
    ValueError
        For a kind that is unknown, and for settings that it has not, or of which one is missing or out of range.
    """
    settings = dict(facts) if isinstance(facts, dict) else {"kind": facts}
    kind = settings.pop("kind", None)
    if not isinstance(kind, str) or kind not in SETTINGS:
        raise ValueError(f"its readout {kind!r} is unknown")
    if settings.keys() != SETTINGS[kind]:
        raise ValueError(f"its readout {kind!r} has the settings {sorted(settings)}, not {sorted(SETTINGS[kind])}")
    for name in ("count", "length"):
        if name in settings and not (type(settings[name]) is int and settings[name] >= 1):
            raise ValueError(f"the {name} of its readout {kind!r} must be an integer of at least 1")
    mu = settings.get("mu", 1.0)
    if type(mu) not in (int, float) or not 0 <= mu <= 1:
        raise ValueError(f"the mu of its readout {kind!r} must be a number from 0 to 1")
    if kind == "several":
        settings["readouts"] = tuple(map(read_readout, settings["readouts"]))
    return StoredReadout(kind, **settings)


def updated(readout: StoredReadout, sums: np.ndarray, spikes: np.ndarray, steps: int) -> np.ndarray:
    """The sums (n, m, kept) after a step, from those before, its spikes (n, m), and the number of steps with it."""
    match readout.kind:
        case "several":
            return np.concatenate(
                [updated(own, part, spikes, steps) for own, part in each(readout, sums)], axis=2, dtype=sums.dtype
            )
        case "windows":
            now = sums.copy()
            now[:, :, min((steps - 1) // readout.length, readout.count - 1)] += spikes
            return now
        case "rate" | "count" | "leaky":
            return sums.dtype.type(readout.mu) * sums + spikes[:, :, None]
        case _:
            return sums


def shares(readout: StoredReadout, sums: np.ndarray, steps: int) -> np.ndarray:
    """What a readout over time reads of its sums: columns (n, m, parts)."""
    if readout.kind in ("count", "leaky"):
        return sums
    lengths = [steps]
    if readout.kind == "windows":  # the last window goes on to the end
        lengths = [min(readout.length, steps - j * readout.length) for j in range(readout.count - 1)]
        lengths.append(steps - (readout.count - 1) * readout.length)
    return sums / np.maximum(lengths, 1).astype(sums.dtype)


def each(readout: StoredReadout, sums: np.ndarray) -> list[tuple[StoredReadout, np.ndarray]]:
    """The readouts of "several", each with its own sums."""
    ends = np.cumsum([own.kept for own in readout.readouts]).tolist()
    return [(own, sums[:, :, end - own.kept : end]) for own, end in zip(readout.readouts, ends, strict=True)]
