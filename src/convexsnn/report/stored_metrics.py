"""Reading metrics.json, in which `convexsnn fit` writes what it measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from convexsnn.checks import check_flag, check_integer, check_real
from convexsnn.cost import Cost
from convexsnn.reading import read_json, reading

Check = Callable[[str, Any], Any]
SPLITS = ("train", "val", "test", "closed_loop")
COUNTS = ("n_iter", "P_last", "columns")


def read_metrics(path: Path) -> dict[str, Any]:
    """The fields of metrics.json, each of its type.

    Raises
    ------
    DamagedFileError
        When the file is missing or damaged, or a field is missing, unknown or of the wrong type.
    """
    metrics = read_json(path)
    known = FIELDS | dict.fromkeys(metrics.keys() & set(SPLITS), _numbers)
    for name in sorted(known.keys() | metrics.keys()):
        with reading(path, name):
            if name not in known:
                raise ValueError("metrics have no such field")
            known[name](name, metrics[name])
    with reading(path, "n"):
        if metrics["n"].keys() != metrics.keys() & {"train", "val", "test"}:
            raise ValueError("it must count the sequences of the splits that have scores")
    return metrics


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, not {value!r:.60}")
    return value


def _optional(name: str, value: Any) -> float | None:
    return None if value is None else check_real(name, value)


def _count(name: str, value: Any) -> int:
    return check_integer(name, value, minimum=0)


def _each(check: Check) -> Check:
    def of_mapping(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"{name} must be an object, not {value!r:.60}")
        return {key: check(f"{name} {key}", entry) for key, entry in value.items()}

    return of_mapping


_numbers = _each(check_real)
FIELDS: dict[str, Check] = {
    **dict.fromkeys(("beta", "objective"), check_real),
    **dict.fromkeys(("relative_gap", "unseen_share"), _optional),
    **dict.fromkeys(("status", "solver"), _text),
    **dict.fromkeys(COUNTS, _count),
    **{field.name: check_real for field in fields(Cost)},
    "certified": check_flag,
    "seconds": _numbers,
    "n": _each(_count),
}
