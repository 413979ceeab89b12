"""What this module knows of kinds of neurons and readouts; others are refused by name."""

from __future__ import annotations

from convexsnn.network import Hidden
from convexsnn.neurons import LIF, Neuron, Threshold
from convexsnn.readouts import Membrane, Spike


def as_lif(neuron: Neuron) -> LIF | None:
    """Neurons with leak, threshold and reset as such; None for threshold units, which have none of these.

    Raises
    ------
    ValueError
        For a kind whose potential is not known to be linear in its parameters once its spikes are given.
    """
    match neuron:
        case LIF():
            return neuron
        case Threshold():
            return None
        case Neuron():
            raise ValueError(f"weights are found for LIF and Threshold neurons, not of kind {neuron.name!r}")
        case other:
            raise ValueError(f"neuron must be a Neuron, such as LIF or Threshold, not {other!r}")


def threshold_of(neuron: Neuron, j: int) -> float | None:
    """The threshold of neuron j, the last of its parameters; None where it has none."""
    lif = as_lif(neuron)
    return None if lif is None else float(lif.threshold[j])


def reads_membrane(hidden: Hidden) -> bool:
    """Whether the sign of the last membranes is read, and not their spikes.

    Raises
    ------
    ValueError
        For readouts that pass on more than bits.
    """
    match hidden.readout:
        case Spike():
            return False
        case Membrane():
            return True
        case other:
            raise ValueError(
                f"network must be read by spikes or the sign of membranes; the {other} readout passes on more"
            )
