"""What is read of the last layers, one file a kind; `protocol.py` says what a kind is."""

from __future__ import annotations

from typing import Any

from convexsnn.checks import check_choice
from convexsnn.readouts.analog import Analog
from convexsnn.readouts.leaky import Leaky
from convexsnn.readouts.membrane import Membrane
from convexsnn.readouts.over_time import OverTime
from convexsnn.readouts.protocol import Accumulated, Box, LastLayer, Reading, Readout
from convexsnn.readouts.rate import Count, Rate
from convexsnn.readouts.several import Several
from convexsnn.readouts.spike import Spike
from convexsnn.readouts.windows import Windows

READOUTS: dict[str, type[Readout]] = {
    kind.name: kind for kind in (Spike, Membrane, Analog, Rate, Count, Leaky, Windows, Several)
}
"""The kinds that names and files may speak of."""


def as_readout(value: Any) -> Readout:
    """A readout from itself, from its name, from `Readout.describe`, or from a list of several of these.

    Raises
    ------
    ValueError
        When a kind or a setting is not known. The message names it.
    """
    if isinstance(value, Readout):
        return value
    if isinstance(value, list | tuple):
        return Several(tuple(value))
    settings = dict(value) if isinstance(value, dict) else {"kind": value}
    kind = READOUTS[check_choice("readout", settings.pop("kind", None), READOUTS)]
    try:
        return kind(**settings)
    except TypeError as error:
        raise ValueError(f"readout {kind.name!r} has other settings: {error}") from error


__all__ = [
    "READOUTS",
    "Accumulated",
    "Analog",
    "Box",
    "Count",
    "LastLayer",
    "Leaky",
    "Membrane",
    "OverTime",
    "Rate",
    "Reading",
    "Readout",
    "Several",
    "Spike",
    "Windows",
    "as_readout",
]
