"""Reading metrics.json, in which `convexsnn fit` writes what it measured."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from convexsnn.checks import check_flag, check_integer, check_names, check_real
from convexsnn.cost import Cost
from convexsnn.reading import read_json, reading
from convexsnn.storage import TIMES

Check = Callable[[str, Any], Any]
SPLITS = ("train", "val", "test", "closed_loop")
SCORES = re.compile(r"accuracy|sequence_accuracy|accuracy_output_\d+|r2")
COUNTS = ("n_iter", "P_last", "columns")


def read_metrics(path: Path) -> dict[str, Any]:
    """The fields of metrics.json, each of its type.

    Raises
    ------
    DamagedFileError
        When the file is missing or damaged, or a field is missing, unknown or of the wrong type.
    """
    metrics = read_json(path)
    own = OF_MEMBERS if "members" in metrics else OF_FIT
    known = FIELDS | own | dict.fromkeys(metrics.keys() & set(SPLITS), _scores)
    with reading(path, "fields"):
        check_names("metrics.json", metrics, known)
    for name, check in known.items():
        with reading(path, name):
            check(name, metrics[name])
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


def _scores(name: str, value: Any) -> dict[str, Any]:
    scores = _each(check_real)(name, value)
    if unknown := [key for key in scores if not SCORES.fullmatch(key)]:
        raise ValueError(f"{name} has no score {', '.join(map(repr, unknown))}")
    return scores


def _times(name: str, value: Any) -> dict[str, Any]:
    times = _each(check_real)(name, value)
    check_names(name, times, ("total", *TIMES))
    return times


OF_FIT: dict[str, Check] = {
    **dict.fromkeys(("beta", "objective"), check_real),
    **dict.fromkeys(("status", "solver"), _text),
    **dict.fromkeys(COUNTS, _count),
    "relative_gap": _optional,
    "certified": check_flag,
}
OF_MEMBERS: dict[str, Check] = {"members": _count}
FIELDS: dict[str, Check] = {
    **dict.fromkeys(("unseen_share", "test_error_bound"), _optional),
    **{field.name: check_real for field in fields(Cost)},
    "seconds": _times,
    "n": _each(_count),
}
