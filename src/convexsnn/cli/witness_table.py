"""What the library offers as options of `convexsnn fit`, as a table that needs neither torch nor any other library.

``python -m convexsnn.cli.witness_table`` writes it. A test says so where the table is not what the families say.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable
from inspect import cleandoc
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from convexsnn.cli.witness_options import TABLE
from convexsnn.families import FAMILIES, WitnessFamily
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES

Families = dict[str, type[WitnessFamily]]


class Documented(NamedTuple):
    """What the documentation of a family says of a setting: in sentences, and what it may be, () for anything."""

    sentences: tuple[str, ...]
    choices: tuple[str, ...]


def table() -> dict[str, Any]:
    """The families, their settings, and the losses and penalties, as JSON has them."""
    names = dict.fromkeys(name for kind in FAMILIES.values() for name in settings_of(kind))
    return {
        "families": list(FAMILIES),
        "losses": list(LOSSES),
        "penalties": list(PENALTIES),
        "settings": {name: _setting(name) for name in names},
    }


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


def _setting(name: str) -> dict[str, Any]:
    families = {family: kind for family, kind in FAMILIES.items() if name in settings_of(kind)}
    defaults = {family: settings_of(kind)[name].default for family, kind in families.items()}
    choices = dict.fromkeys(choice for kind in families.values() for choice in documentation_of(kind)[name].choices)
    return {
        "types": sorted({type_ for kind in families.values() for type_ in _types(get_type_hints(kind)[name])}),
        "choices": list(choices),
        "defaults": {family: list(value) if isinstance(value, tuple) else value for family, value in defaults.items()},
        "help": _help(name, families),
    }


def _types(hint: Any) -> list[str]:
    """The types of a union by name; choices have none of their own, and the library's own types have no option."""
    spelled = hint.__name__ if type(hint) is type else str(hint)
    return [] if spelled.startswith("typing.") else [own for own in spelled.split(" | ") if "convexsnn" not in own]


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


if __name__ == "__main__":
    Path(str(TABLE)).write_text(json.dumps(table(), indent=1) + "\n")
