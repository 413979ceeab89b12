"""Families by name, and from what users write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import add
from typing import Any

from convexsnn.checks import check_choice
from convexsnn.families.base import WitnessFamily
from convexsnn.families.exact import Exact
from convexsnn.families.gaussian import Gaussian
from convexsnn.families.given import Given
from convexsnn.families.heterogeneous import Heterogeneous
from convexsnn.families.kernel_search import KernelSearch
from convexsnn.families.kernels import Kernels
from convexsnn.families.mixture import Mixture
from convexsnn.families.reservoir import Reservoir
from convexsnn.families.search import Search
from convexsnn.families.surrogate import Surrogate
from convexsnn.families.trained_kernels import TrainedKernels
from convexsnn.network import Hidden

FAMILIES: dict[str, type[WitnessFamily]] = {
    kind.name: kind
    for kind in (
        *(Search, Gaussian, Heterogeneous, Reservoir, Kernels, KernelSearch),
        *(TrainedKernels, Surrogate, Exact),
    )
}
"""What `witnesses` may be called by name; to add a family, enter it here."""


def family_of(witnesses: Any) -> WitnessFamily:
    """The family that a user's `witnesses` stand for.

    Parameters
    ----------
    witnesses : WitnessFamily, Hidden or str
        A name stands for the family's default settings; several are joined by ``+``, as in "gaussian+search".

    Raises
    ------
    ValueError
        When it is no family, or a name that is not known.
    """
    if isinstance(witnesses, WitnessFamily):
        return witnesses
    if isinstance(witnesses, Hidden):
        return Given(layers=witnesses)
    if not isinstance(witnesses, str):
        known = ", ".join(kind.__name__ for kind in FAMILIES.values())
        raise ValueError(
            f"witnesses must be the name of a family, a family ({known}) or hidden layers (Hidden), not {witnesses!r}"
        )
    parts = [FAMILIES[check_choice("witnesses", name.strip(), FAMILIES)]() for name in witnesses.split("+")]
    return reduce(add, parts)


def family_from_dict(description: Mapping[str, Any], given: Iterable[Hidden] = ()) -> WitnessFamily:
    """Inverse of `WitnessFamily.to_dict`, where `given` are the layers of `WitnessFamily.given`, in their order.

    Raises
    ------
    KeyError, ValueError
        When a name is not known, or a value is bad.
    """
    settings, given = dict(description), iter(given)
    name = settings.pop("family")
    if name == Mixture.name:
        parts = [family_from_dict(part, given) for part in settings["parts"]]
        return Mixture.from_dict(settings | {"parts": parts})
    if name == Given.name:
        layers = next(given, None)
        if layers is None:
            raise ValueError("the layers of the family 'given' are missing")
        return Given.from_dict(settings | {"layers": layers})
    return FAMILIES[check_choice("family", name, FAMILIES)].from_dict(settings)
