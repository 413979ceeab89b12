"""The options of `convexsnn fit` that say where hidden weights come from: the settings of the witness families."""

from __future__ import annotations

import dataclasses
import re
from functools import reduce
from inspect import cleandoc
from operator import add, or_
from typing import Annotated, Any, get_type_hints

from cyclopts import Parameter

from convexsnn.checks import check_choice
from convexsnn.families import FAMILIES, WitnessFamily

Families = dict[str, type[WitnessFamily]]


def settings_of(kind: type[WitnessFamily]) -> dict[str, dataclasses.Field]:
    """The settings of a family by name."""
    return {own.name: own for own in dataclasses.fields(kind)}


def help_of(kind: type[WitnessFamily]) -> dict[str, str]:
    """What the documentation of a family, and of what it derives from, says of each setting."""
    texts: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        attributes = re.split(r"\n[A-Z][a-z]+\n-+\n", cleandoc(cls.__dict__.get("__doc__") or ""))[1:]
        for section in attributes:
            for names, text in re.findall(r"^(\w[\w, ]*) : .*\n((?:(?: .*)?(?:\n|$))+)", section, re.MULTILINE):
                texts |= dict.fromkeys(re.split(", *", names), " ".join(text.split()))
    return texts


def _families_with(name: str) -> Families:
    return {family: kind for family, kind in FAMILIES.items() if name in settings_of(kind)}


def _help(name: str, families: Families) -> str:
    """The sentence that says what a setting is, whose it is, and what it is otherwise."""
    by_text: dict[str, list[str]] = {}
    for family, kind in families.items():
        by_text.setdefault(help_of(kind)[name], []).append(family)
    by_default: dict[str, list[str]] = {}
    for family, kind in families.items():
        by_default.setdefault(_shown(settings_of(kind)[name].default), []).append(family)
    texts = [f"With {', '.join(own)}: {text}" if len(by_text) > 1 else text for text, own in by_text.items()]
    usual = [f"{value} with {', '.join(own)}" if len(by_default) > 1 else value for value, own in by_default.items()]
    return f"{' '.join(texts)} (of {', '.join(families)}; default {', '.join(usual)})"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "none" if value is None else str(value)


def _group(families: Families) -> str:
    if len(families) > 1:
        return "Hidden weights (settings that several families share)"
    return f"Hidden weights (--witnesses {next(iter(families))} only)"


def _option(name: str) -> tuple[str, Any, Any]:
    """A setting as a field of `WitnessOptions`; None where it is not given."""
    families = _families_with(name)
    types = [get_type_hints(kind)[name] for kind in families.values()]
    return (
        name,
        Annotated[reduce(or_, types) | None, Parameter(help=_help(name, families), group=_group(families))],
        dataclasses.field(default=None),
    )


NAMES = tuple(dict.fromkeys(name for kind in FAMILIES.values() for name in settings_of(kind)))
_OPTIONS = dataclasses.make_dataclass(
    "WitnessOptions", [_option(name) for name in NAMES], frozen=True, namespace={"__module__": __name__}
)
WitnessOptions: Any = Parameter(name="*")(_OPTIONS)
"""Every setting of every family, None where it is not given."""


def family_from_options(witnesses: str, options: Any) -> WitnessFamily:
    """The family, or families joined by ``+``, with the settings that were given.

    Raises
    ------
    ValueError
        On unknown names, bad values, and settings that none of the families has: names the families that have it.
    """
    names = [check_choice("--witnesses", part.strip(), FAMILIES) for part in witnesses.split("+")]
    given = {name: value for name in NAMES if (value := getattr(options, name)) is not None}
    for name in given:
        if not any(name in settings_of(FAMILIES[family]) for family in names):
            option, owners = f"--{name.replace('_', '-')}", ", ".join(_families_with(name))
            raise ValueError(f"{option} has no effect on --witnesses {witnesses}: it is a setting of {owners}")
    parts = [
        FAMILIES[family](**{name: value for name, value in given.items() if name in settings_of(FAMILIES[family])})
        for family in names
    ]
    return reduce(add, parts)
