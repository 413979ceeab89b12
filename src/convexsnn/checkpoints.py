"""Checkpoints of long work: sealed files that say which work they are of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from convexsnn.checks import check_names
from convexsnn.reading import DamagedFileError, reading
from convexsnn.sealed import read_sealed, write_sealed

CHECKPOINT = "convexsnn_checkpoint"
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
        What work it is, and the version of its format, such as "search 5".
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
