"""Spiking and threshold neurons, one file a kind; `protocol.py` says what a kind is."""

from __future__ import annotations

from convexsnn.checks import check_choice
from convexsnn.neurons.alpha import Alpha
from convexsnn.neurons.lif import LIF, RESETS, Reset, lif
from convexsnn.neurons.protocol import Fired, Neuron, NeuronState
from convexsnn.neurons.synaptic import Synaptic
from convexsnn.neurons.threshold import Threshold

NEURONS: dict[str, type[Neuron]] = {kind.name: kind for kind in (LIF, Threshold, Synaptic, Alpha)}
"""The kinds that files may hold, by name."""


def neuron_kind(name: str) -> type[Neuron]:
    """The kind of that name; ValueError, naming those known, for any other."""
    return NEURONS[check_choice("kind of neuron", name, NEURONS)]


__all__ = [
    "LIF",
    "NEURONS",
    "RESETS",
    "Alpha",
    "Fired",
    "Neuron",
    "NeuronState",
    "Reset",
    "Synaptic",
    "Threshold",
    "lif",
    "neuron_kind",
]
