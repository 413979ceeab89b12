"""Settings of a fit as a TOML file: written beside a model, and read by `convexsnn fit --config`.

The file has the options of the command line by their names. Options that are given on the command line count instead.
"""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cyclopts.config import Toml

OPTION = "--config"


def read_settings(app: Any, commands: tuple[str, ...], arguments: Any) -> None:
    """Give cyclopts the options of the file that `--config` names, where the command line does not have them."""
    named = next(argument for argument in arguments if argument.name == OPTION)
    if named.tokens:
        source = Toml(named.tokens[0].value, must_exist=True, use_commands_as_keys=False)
        source(app, commands, arguments)


def settings_text(*groups: Any, **options: Any) -> str:
    """The TOML file of a fit.

    Parameters
    ----------
    *groups : dataclass instances
        Groups of options, as the command line has them. What is as it is without the option may be left out.
    **options
        Further options by name.
    """
    given = {own.name: getattr(group, own.name) for group in groups for own in fields(group)}
    unset = {own.name: own.default for group in groups for own in fields(group)}
    lines = [
        f"# What convexsnn {version('convexsnn')} was told. To repeat it: convexsnn fit {OPTION} FILE --out FOLDER",
        *(_line(name, value) for name, value in (given | options).items() if _says_something(value, unset.get(name))),
    ]
    return "\n".join(lines) + "\n"


def _says_something(value: Any, default: Any) -> bool:
    """Whether an option was given, or has a default other than to be left out; False counts where None is another."""
    return value not in (None, ()) and (value is not False or default is None)


def _line(name: str, value: Any) -> str:
    """One setting; a comment where the value is a name that UTF-8 has not."""
    name = name.replace("_", "-")
    text = f"{name} = {_plain(value)}"
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"# {name} is a name that is not UTF-8: pass --{name}"
    return text


def _plain(value: Any) -> str:
    """A value as TOML has it."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case Path():
            return _plain(str(value.absolute()))
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case tuple() | list():
            return f"[{', '.join(map(_plain, value))}]"
        case _:
            raise TypeError(f"settings hold no {type(value).__name__}")
