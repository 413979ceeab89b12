"""Spiking and threshold neurons, one file a kind; `protocol.py` says what a kind is."""

from __future__ import annotations

from convexsnn.checks import check_choice
from convexsnn.neurons.lif import LIF, RESETS, Reset, lif
from convexsnn.neurons.protocol import Fired, Neuron, NeuronState
from convexsnn.neurons.threshold import Threshold

NEURONS: dict[str, type[Neuron]] = {kind.name: kind for kind in (LIF, Threshold)}
"""The kinds that files may hold, by name."""


def neuron_kind(name: str) -> type[Neuron]:
    """The kind of that name; ValueError, naming those known, for any other."""
    return NEURONS[check_choice("kind of neuron", name, NEURONS)]


__all__ = [
    "LIF",
    "NEURONS",
    "RESETS",
    "Fired",
    "Neuron",
    "NeuronState",
    "Reset",
    "Threshold",
    "lif",
    "neuron_kind",
]
