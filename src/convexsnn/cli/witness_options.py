"""The options of `convexsnn fit` that say where hidden weights come from: the settings of the witness families."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from functools import reduce
from inspect import cleandoc
from itertools import takewhile
from operator import add, or_
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

from cyclopts import Group, Parameter

from convexsnn.checks import check_choice
from convexsnn.families import FAMILIES, WitnessFamily

Families = dict[str, type[WitnessFamily]]


class Documented(NamedTuple):
    """What the documentation of a family says of a setting: in sentences, and what it may be, () for anything."""

    sentences: tuple[str, ...]
    choices: tuple[str, ...]


def settings_of(kind: type[WitnessFamily]) -> dict[str, dataclasses.Field]:
    """The settings of a family by name."""
    return {own.name: own for own in dataclasses.fields(kind)}


def documentation_of(kind: type[WitnessFamily]) -> dict[str, Documented]:
    """What the documentation of a family, and of what it derives from, says of each setting."""
    found: dict[str, Documented] = {}
    for cls in reversed(kind.__mro__):
        attributes = re.split(r"\n[A-Z][a-z]+\n-+\n", cleandoc(cls.__dict__.get("__doc__") or ""))[1:]
        for section in attributes:
            for name, type_, text in re.findall(r"^(\w+) : (.*)\n((?:(?: .*)?(?:\n|$))+)", section, re.MULTILINE):
                sentences = re.split(r"(?<=\.) ", " ".join(text.replace("`", "").split()))
                found[name] = Documented(tuple(sentences), tuple(re.findall(r'"(\w+)"', type_)))
    return found


def _families_with(name: str) -> Families:
    return {family: kind for family, kind in FAMILIES.items() if name in settings_of(kind)}


def _help(name: str, families: Families) -> str:
    """What a setting does, who has it, and what it is where it is not given."""
    sentences = {family: documentation_of(kind)[name].sentences for family, kind in families.items()}
    owners = [f"[families: {_named(families)}]"] if len(families) > 1 else []
    return " ".join((_text(sentences), *owners, f"[default: {_default(name, families)}]"))


def _text(sentences: dict[str, tuple[str, ...]]) -> str:
    """The sentences that families begin with alike, then those that each goes on with."""
    alike = takewhile(lambda each: len(set(each)) == 1, zip(*sentences.values(), strict=False))
    shared = [each[0] for each in alike]
    further: dict[str, list[str]] = {}
    for family, own in sentences.items():
        if rest := " ".join(own[len(shared) :]):
            further.setdefault(rest, []).append(family)
    return " ".join((*shared, *(f"With {_named(families)}: {rest}" for rest, families in further.items())))


def _default(name: str, families: Families) -> str:
    """The default of most families, then those of the others."""
    by_value: dict[str, list[str]] = {}
    for family, kind in families.items():
        by_value.setdefault(_shown(settings_of(kind)[name].default), []).append(family)
    usual, *others = sorted(by_value, key=lambda value: -len(by_value[value]))
    return ", ".join((usual, *(f"{value} with {_named(by_value[value])}" for value in others)))


def _shown(value: Any) -> str:
    match value:
        case None:
            return "not set"
        case tuple():
            return " ".join(map(_shown, value))
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _named(families: Iterable[str]) -> str:
    """Families by name; those that are missing where these are fewer."""
    missing = [family for family in FAMILIES if family not in families]
    if len(missing) < len(FAMILIES) / 2:
        return f"all but {', '.join(missing)}" if missing else "all"
    return ", ".join(families)


def _group(families: Families) -> Group:
    """Settings of several families come first, then those of each."""
    if len(families) > 1:
        return Group("Hidden weights: settings of several families", sort_key=3)
    (family,) = families
    return Group(f"Hidden weights: settings of {family}", sort_key=4 + list(FAMILIES).index(family))


def _type(name: str, families: Families) -> Any:
    """What a setting may be in any of its families."""
    choices = dict.fromkeys(choice for kind in families.values() for choice in documentation_of(kind)[name].choices)
    if choices:
        return Literal[tuple(choices)]  # type: ignore[valid-type] - known once the families are
    return reduce(or_, (get_type_hints(kind)[name] for kind in families.values()))


def _option(name: str) -> tuple[str, Any, Any]:
    """A setting as a field of `WitnessOptions`; None where it is not given."""
    families = _families_with(name)
    text, group = _help(name, families), _group(families)
    how = Parameter(help=text, group=group, negative_iterable="", consume_multiple=True)
    return name, Annotated[_type(name, families) | None, how], dataclasses.field(default=None)


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
