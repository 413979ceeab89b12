"""Families that stay within what a target of export can express."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch

from convexsnn.checks import check_choice
from convexsnn.export.targets import TARGETS, Target
from convexsnn.families.base import UNHEEDED, WitnessFamily
from convexsnn.families.given import Given
from convexsnn.families.kernel_search import KernelSearch
from convexsnn.families.mixture import Mixture
from convexsnn.network import Network
from convexsnn.neurons.lif import MOST_DYADIC
from convexsnn.readouts import as_readout

# The leak of all neurons of a search, for a target of one leak a layer.
ONE_LEAK = 15 / 16


def within(family: WitnessFamily, name: str | None, *, usual: bool = False) -> WitnessFamily:
    """The family with settings that a target can express.

    A setting at its default gives way to the nearest that the target can express. Any other is the user's choice.

    Parameters
    ----------
    family : WitnessFamily
    name : str or None
        A name of `TARGETS`; None leaves the family as it is.
    usual : bool
        No setting is the user's choice.

    Raises
    ------
    ValueError
        When the name is not known, or the family or a setting of it cannot be exported to the target.
    """
    if name is None:
        return family
    target = TARGETS[check_choice("target", name, TARGETS)]
    match family:
        case Mixture():
            return replace(family, parts=tuple(within(part, name, usual=usual) for part in family.parts))
        case Given():
            _check_layers(family, name, target)
            return family
        case KernelSearch() if "rate" not in target.readouts:
            raise ValueError(
                f"target={name!r} cannot hold the rates that witnesses='kernel_search' reads: use 'kernels'"
            )
    unheeded = UNHEEDED.get(getattr(family, "neuron", "lif"), ())
    defaults = {own.name: own.default for own in fields(family) if own.name not in unheeded}
    changes = {}
    for setting in defaults.keys() & NEAREST.keys():
        value, nearest = getattr(family, setting), NEAREST[setting](family, target)
        if value == nearest:
            continue
        if not usual and value != defaults[setting]:
            chosen = f"{setting}={value!r} of witnesses={family.name!r}"
            raise ValueError(f"target={name!r} cannot hold {chosen}: use {setting}={nearest!r}")
        changes[setting] = nearest
    return replace(family, **changes)


def _check_layers(family: Given, name: str, target: Target) -> None:
    """ValueError where hidden layers of the user's own cannot be exported."""
    layers = family.layers
    try:
        target.export(Network(layers, torch.zeros(layers.n_last, 1, dtype=torch.float64)))
    except ValueError as error:
        raise ValueError(f"target={name!r} cannot hold the given layers: {error}") from error


def _reset(family: Any, target: Target) -> str:
    return family.reset if family.reset in target.resets else target.resets[0]


def _threshold(family: Any, target: Target) -> float:
    return 1.0 if family.threshold <= 0.0 and _reset(family, target) in target.positive else family.threshold


def _readout(family: Any, target: Target) -> Any:
    return family.readout if as_readout(family.readout).name in target.readouts else "spike"


def _readouts(family: Any, target: Target) -> tuple[str, ...]:
    """The readouts of kernels that the target has; more than one need a target with the readout "several"."""
    held = tuple(own for own in family.readouts if own in target.readouts) or ("count",)
    return held if "several" in target.readouts else held[:1]


def _leak(family: Any, target: Target) -> float | None:
    """None is for a search to choose."""
    if family.leak is None:
        return None if target.leaks != "one" or family.dyadic_leaks else ONE_LEAK
    return MOST_DYADIC if family.leak == 1.0 and not target.leak_one else family.leak


# The nearest to a setting that a target can express.
NEAREST: dict[str, Callable[[Any, Target], Any]] = {
    "reset": _reset,
    "threshold": _threshold,
    "readout": _readout,
    "readouts": _readouts,
    "windows": lambda family, target: family.windows if "windows" in target.readouts else (),
    "choose_windows": lambda family, target: family.choose_windows and "windows" in target.readouts,
    "leak": _leak,
    "dyadic_leaks": lambda family, target: family.dyadic_leaks or (target.leaks == "dyadic" and family.leak is None),
    "leak_grid": lambda family, target: tuple(own for own in family.leak_grid if own < 1.0 or target.leak_one),
    "learn_leak": lambda family, target: family.learn_leak and target.leaks == "any",
    "dtype": lambda family, target: target.dtype or family.dtype,
}
