"""What each target can express, for training that stays within it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from convexsnn.export.norse import to_norse
from convexsnn.export.plain_torch import to_torch
from convexsnn.export.snntorch import to_snntorch
from convexsnn.export.spikingjelly import to_spikingjelly
from convexsnn.export.write_nir import to_nir
from convexsnn.network import Network
from convexsnn.neurons import RESETS
from convexsnn.readouts import READOUTS


@dataclass(frozen=True)
class Target:
    """What LIF neurons and readouts a target can express.

    Attributes
    ----------
    export : callable (Network) -> module or graph
    resets : tuple of str
        The nearest to reset "soft" comes first.
    readouts : tuple of str
    positive : tuple of str
        With these resets, thresholds must be more than 0.
    leaks : {"any", "dyadic", "one"}
        What suits it where leaks are chosen. Leaks 1 - 2**-k (dyadic) suit a target that multiplies its input by
        1 - leak, or has a module for each leak. One leak suits a target whose readers take one for each layer.
    leak_one : bool
        Whether a leak may be 1.
    dtype : str, optional
        The precision in which readers of the target compute; None is that of the network.
    """

    export: Callable[[Network], Any]
    resets: tuple[str, ...] = RESETS
    readouts: tuple[str, ...] = tuple(READOUTS)
    positive: tuple[str, ...] = ()
    leaks: Literal["any", "dyadic", "one"] = "any"
    leak_one: bool = True
    dtype: str | None = None


TARGETS: dict[str, Target] = {
    "torch": Target(to_torch),
    "snntorch": Target(to_snntorch, positive=("soft", "delayed")),
    "spikingjelly": Target(to_spikingjelly, ("soft", "hard"), leaks="dyadic"),
    "norse": Target(to_norse, positive=("delayed",), leaks="dyadic", leak_one=False),
    "nir": Target(to_nir, ("hard", "none"), ("spike", "count"), leaks="one", leak_one=False, dtype="float32"),
}
"""The targets by name."""
