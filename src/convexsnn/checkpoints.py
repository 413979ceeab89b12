"""Checkpoints of long work: sealed files that say which work they are of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from convexsnn.checks import check_names
from convexsnn.reading import DamagedFileError, reading
from convexsnn.sealed import read_sealed, write_sealed

CHECKPOINT = "convexsnn_checkpoint"
Contents = tuple[dict[str, Any], dict[str, Tensor]]
"""The state of some work as JSON has it, and its tensors."""

ADVICE = "delete the checkpoint to begin anew, or name another path"


@contextmanager
def resuming() -> Iterator[None]:
    """Within it a checkpoint is read. Where it cannot be, the error also says what to do."""
    try:
        yield
    except DamagedFileError as error:
        raise DamagedFileError(error.path, error.field, f"{error.reason}; {ADVICE}") from error


def write_checkpoint(path: str | Path, kind: str, of: str, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write the state of some work.

    Parameters
    ----------
    path : path of the file
    kind : str
        The work that the file belongs to, and the version of its format, such as "search 5".
    of : str
        Digest of everything that the course of the work depends on.
    state : dict
        JSON-compatible.
    tensors : dict of str to Tensor

    Raises
    ------
    OSError
        When the file cannot be written; the old one, if any, is left as it was.
    """
    write_sealed(path, CHECKPOINT, {"kind": kind, "of": of, "state": state}, tensors)


def read_checkpoint(path: str | Path, kind: str, of: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Inverse of `write_checkpoint`: state and tensors. Objects are made of them within `reading(path, ...)`.

    Raises
    ------
    DamagedFileError
        When the file is damaged in any bit, or of another kind of work or version.
    ValueError
        When it is of other data, settings or seed.
    """
    header, tensors = read_sealed(path, CHECKPOINT)
    with reading(path, "header"):
        check_names("a checkpoint", header, ("kind", "of", "state"))
        own, work, state = header["kind"], header["of"], header["state"]
        if not isinstance(work, str) or not isinstance(state, dict):
            raise ValueError("of must be text, and state an object")
    if own != kind:
        raise DamagedFileError(path, "kind", f"it is of {own!r}, not of {kind!r}")
    if work != of:
        raise ValueError(f"checkpoint {path} is of other data, settings or seed: {ADVICE}")
    return state, tensors


def check_nothing_else(path: str | Path, found: Contents, again: Contents) -> None:
    """Raise DamagedFileError where a checkpoint holds anything, at any depth, that nothing was made of.

    Parameters
    ----------
    path : path of the file
    found : (dict, dict of str to Tensor)
        State and tensors as they were read.
    again : (dict, dict of str to Tensor)
        State and tensors as they would be written of what was made of `found`.
    """
    with reading(path, "tensors"):
        check_names("a checkpoint of this kind", found[1], again[1])
    with reading(path, "state"):
        _check_same("it", found[0], json.loads(json.dumps(again[0])))


def _check_same(where: str, found: Any, again: Any) -> None:
    match found, again:
        case dict(), dict():
            check_names(where, found, again)
            for name, value in found.items():
                _check_same(f"{where}.{name}", value, again[name])
        case list(), list() if len(found) == len(again):
            for i, pair in enumerate(zip(found, again, strict=True)):
                _check_same(f"{where}[{i}]", *pair)
        case _ if type(found) is not type(again) or found != again:
            raise ValueError(f"{where} is {found!r}, which is read as {again!r}")
