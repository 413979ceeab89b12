"""The options of `convexsnn fit` that say where hidden weights come from: the settings of the witness families.

They are read from a table, as the families themselves need torch, and help is to be there at once.
"""

from __future__ import annotations

import dataclasses
import json
from functools import reduce
from importlib.resources import files
from operator import add, or_
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from convexsnn.checks import check_choice

if TYPE_CHECKING:
    from convexsnn.families import WitnessFamily

TABLE = files("convexsnn.cli") / "witness_table.json"
# The family is chosen by the data; with settings, it is the search.
AUTO = "auto"
OFFERED: dict[str, Any] = json.loads(TABLE.read_text())
FAMILY_NAMES: list[str] = OFFERED["families"]
NAMES: tuple[str, ...] = tuple(OFFERED["settings"])
TYPES: dict[str, Any] = {
    "None": None,
    "bool": bool,
    "float": float,
    "int": int,
    "str": str,
    "tuple[float, ...]": tuple[float, ...],
    "tuple[int, ...]": tuple[int, ...],
    "tuple[float, float]": tuple[float, float],
    "tuple[str, ...]": tuple[str, ...],
}


def default_of(family: str, name: str) -> Any:
    """What a setting of a family is where it is not given."""
    return OFFERED["settings"][name]["defaults"][family]


def _owners(name: str) -> list[str]:
    """The families that have a setting."""
    return list(OFFERED["settings"][name]["defaults"])


def _group(name: str) -> Group:
    """Settings of several families come first, then those of each."""
    owners = _owners(name)
    if len(owners) > 1:
        return Group("Hidden weights: settings of several families", sort_key=3)
    return Group(f"Hidden weights: settings of {owners[0]}", sort_key=4 + FAMILY_NAMES.index(owners[0]))


def _option(name: str) -> tuple[str, Any, Any]:
    """A setting as a field of `WitnessOptions`; None where it is not given."""
    setting = OFFERED["settings"][name]
    how = Parameter(help=setting["help"], group=_group(name), negative_iterable="", consume_multiple=True)
    choices = tuple(setting["choices"])
    type_: Any = Literal[choices] if choices else reduce(or_, (TYPES[own] for own in setting["types"] if own != "None"))
    return name, Annotated[type_ | None, how], dataclasses.field(default=None)


_OPTIONS = dataclasses.make_dataclass(
    "WitnessOptions", [_option(name) for name in NAMES], frozen=True, namespace={"__module__": __name__}
)
WitnessOptions: Any = Parameter(name="*")(_OPTIONS)
"""Every setting of every family, None where it is not given."""


def given_options(witnesses: str, options: Any) -> list[tuple[str, dict[str, Any]]]:
    """The families, each with those of its settings that were given; none for "auto" alone.

    Raises
    ------
    ValueError
        On unknown families, and on settings that none of the families has: names the families that have it.
    """
    given = {name: value for name in NAMES if (value := getattr(options, name)) is not None}
    if witnesses == AUTO and not given:
        return []
    parts = ["search"] if witnesses == AUTO else witnesses.split("+")
    families = [check_choice("--witnesses", part.strip(), [*FAMILY_NAMES, AUTO]) for part in parts]
    for name in given:
        if not set(families) & set(_owners(name)):
            option, owners = f"--{name.replace('_', '-')}", ", ".join(_owners(name))
            raise ValueError(f"{option} has no effect on --witnesses {witnesses}: it is a setting of {owners}")
    return [(family, {n: value for n, value in given.items() if family in _owners(n)}) for family in families]


def family_from_options(witnesses: str, options: Any) -> WitnessFamily | str:
    """The family, or families joined by ``+``, with the settings that were given, or "auto".

    Raises as `given_options` does.
    """
    from convexsnn.families import FAMILIES

    families = [FAMILIES[family](**settings) for family, settings in given_options(witnesses, options)]
    return reduce(add, families) if families else AUTO
