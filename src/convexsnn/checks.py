"""Argument checks: every error names the argument, what was wrong with it and what to pass instead."""

from __future__ import annotations

import difflib
import math
import numbers
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def check_integer(name: str, value: Any, *, minimum: int = 1, maximum: int | None = None) -> int:
    """`value` as an int in [minimum, maximum]; ValueError otherwise, for other types too."""
    allowed = f"an integer of at least {minimum}" if maximum is None else f"an integer from {minimum} to {maximum}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be {allowed}, not {value!r}")
    number = int(value)
    if number < minimum or (maximum is not None and number > maximum):
        raise ValueError(f"{name} must be {allowed}, not {number}")
    return number


def check_real(
    name: str, value: Any, minimum: float = -math.inf, maximum: float = math.inf, *, open_minimum: bool = False
) -> float:
    """`value` as a finite float in [minimum, maximum], or (minimum, maximum] when `open_minimum`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be a number, not {value!r}")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(f"{name} must be within the range of float64") from error
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value}")
    if number < minimum or number > maximum or (open_minimum and number == minimum):
        low = f"more than {minimum:g}" if open_minimum else f"at least {minimum:g}"
        bounds = low if maximum == math.inf else f"{low} and at most {maximum:g}"
        raise ValueError(f"{name} must be {bounds}, got {value}")
    return number


def check_share(name: str, value: Any, *, open_minimum: bool = False) -> float:
    """`value` as a float in [0, 1), or (0, 1) when `open_minimum`."""
    share = check_real(name, value, 0.0, open_minimum=open_minimum)
    if share >= 1.0:
        raise ValueError(f"{name} must be less than 1, got {value}")
    return share


def check_memory(what: str, size: int) -> None:
    """ValueError where `what`, of at least `size` bytes, is more than the memory of this machine."""
    available = _memory()
    if size > available:
        raise ValueError(
            f"{what} of at least {size / 2**30:.3g} GiB, but this machine has {available / 2**30:.3g} GiB of memory: "
            "choose smaller numbers"
        )


def _memory() -> int:
    """Bytes of memory of this machine; where that is not said, a number that none has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**50


def check_flag(name: str, value: Any) -> bool:
    """`value` as a bool; ValueError for anything that is not one, such as the string "no"."""
    if isinstance(value, bool) or type(value).__name__ == "bool":  # the latter is numpy's
        return bool(value)
    raise ValueError(f"{name} must be True or False, not {value!r}")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """`value` when it is one of `choices`; the error lists them and suggests the nearest."""
    options = list(choices)
    if isinstance(value, str) and value in options:
        return value
    near = difflib.get_close_matches(str(value), options, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}.{hint}")


def check_range(name: str, value: Any) -> tuple[float, float]:
    """`value` as a pair (smallest, largest) of positive numbers; ValueError otherwise."""
    ends = _numbers(value)
    if ends is None or len(ends) != 2:
        raise ValueError(f"{name} must be a pair (smallest, largest), got {value!r}")
    low, high = (check_real(name, end, 0.0, open_minimum=True) for end in ends)
    if low > high:
        raise ValueError(f"{name} must be a pair (smallest, largest), got {value!r}")
    return low, high


def check_grid(name: str, values: Any, *, zero_to_one: bool = False) -> tuple[float, ...]:
    """`values` as a tuple of at least one positive number, or number from 0 to 1; ValueError otherwise."""
    numbers = _numbers(values)
    if not numbers:
        raise ValueError(f"{name} must hold at least one number, got {values!r}")
    maximum = 1.0 if zero_to_one else math.inf
    return tuple(check_real(name, number, 0.0, maximum, open_minimum=not zero_to_one) for number in numbers)


def _numbers(values: Any) -> list | None:
    """The entries of what holds several; None for anything else."""
    return list(values) if isinstance(values, Iterable) and not isinstance(values, str) else None


def check_heeded(settings: Any, names: Iterable[str], where: str) -> None:
    """Raise ValueError where one of the fields `names`, which have no effect `where`, was changed from its default."""
    usual = {own.name: own.default for own in fields(settings)}
    for name in names:
        if name in usual and getattr(settings, name) != usual[name]:
            raise ValueError(f"{name} has no effect {where}: leave it out")


def check_names(what: str, found: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError unless the fields of `what` that were `found` are exactly those that are `known`."""
    found, known = set(found), set(known)
    if missing := sorted(known - found):
        raise ValueError(f"{what} lacks {', '.join(map(repr, missing))}")
    if unknown := sorted(found - known):
        raise ValueError(f"{what} has no field {', '.join(map(repr, unknown))}")


class Table(dict[str, T], Generic[T]):
    """A table of what is known by name, whose miss is a ValueError that names the kind and all that is known."""

    def __init__(self, kind: str, entries: Mapping[str, T]) -> None:
        """`kind` is the argument or field that names an entry, such as "loss"."""
        super().__init__(entries)
        self.kind = kind

    def __missing__(self, name: Any) -> T:
        return self[check_choice(self.kind, name, self)]
