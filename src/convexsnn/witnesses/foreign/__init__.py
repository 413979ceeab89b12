"""Neurons of other libraries in our terms, one file a library."""

from __future__ import annotations

from torch import nn

from convexsnn.witnesses.foreign import snntorch, spikingjelly
from convexsnn.witnesses.foreign.kinds import ForeignKind, ForeignNeurons, read_as

FOREIGN: dict[tuple[str, str], ForeignKind] = {
    **{("snntorch", name): kind for name, kind in snntorch.KINDS.items()},
    **{("spikingjelly", name): kind for name, kind in spikingjelly.KINDS.items()},
}
"""What is known of modules as neurons, by library and name."""

KNOWN = tuple(name for _, name in FOREIGN)
"""Names of the modules that are read as neurons."""


def foreign_kind(part: nn.Module) -> ForeignKind | None:
    """What is known of this module as neurons; None where it is none that we know. Subclasses are not their parents."""
    return FOREIGN.get((type(part).__module__.partition(".")[0], type(part).__name__))


def read_neurons(name: str, part: nn.Module) -> ForeignNeurons:
    """The neurons of a module of a known kind; ValueError, naming the attribute, for what no neuron here does."""
    kind = foreign_kind(part)
    assert kind is not None
    return read_as(kind, name, part)


__all__ = ["FOREIGN", "KNOWN", "ForeignKind", "ForeignNeurons", "foreign_kind", "read_neurons"]
