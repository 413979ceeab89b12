"""What a command may write over: what is of its own kind, and with --force anything but a model or what it reads."""

from __future__ import annotations

import contextlib
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from convexsnn.cli.folder import CHECKPOINT, MODEL, OWNED, ROUNDS
from convexsnn.proof.words import WORDS_FORMAT

# In the head of every page that `report` writes.
PAGE_MARK = b'<meta name="generator" content="convexsnn">'

# How every file that `prove` writes begins.
PROOF_MARK = b'{"format":"' + WORDS_FORMAT.encode()


def check_target(out: Path, is_own: Callable[[Path], bool], *reads: Path, force: bool, part: str = "") -> None:
    """Raise ValueError where writing the file `out` would destroy something, or cannot be.

    Parameters
    ----------
    out : Path
    is_own : callable
        Whether a file is of the kind that is written.
    *reads : Path
        Files that the command reads.
    force : bool
        Whether another kind of file may be written over.
    part : str
        The name of the file that the command adds to a model's folder, if it does.
    """
    of_model = out.name in {*OWNED, CHECKPOINT, ROUNDS} - {part} and (out.parent / MODEL).is_file()
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.parent}")
    if not out.exists():
        if of_model:
            raise ValueError(f"--out {out} is the name of a file of the model in {out.parent}: choose another")
        return
    if not out.is_file():
        raise ValueError(f"--out {out} is not a file")
    if any(read.exists() and out.samefile(read) for read in reads):
        raise ValueError(f"--out {out} is the file that is read: choose another name")
    if of_model or is_model(out):
        raise ValueError(f"--out {out} is a file of a model, which is not written over: choose another name")
    if not force and not is_own(out):
        raise ValueError(f"--out {out} is there, and not of the kind that is written: choose another name, or --force")


def is_model(path: Path) -> bool:
    """Whether a file is a model of ours."""
    return "format" in _facts(path)


def is_exported(path: Path) -> bool:
    """Whether a file holds the weights of an exported network."""
    return "neurons" in _facts(path)


def is_graph(path: Path) -> bool:
    """Whether a file holds a NIR graph."""
    from convexsnn.export.library import library

    with contextlib.suppress(Exception):  # a foreign reader, of any file
        return bool(library("nir").read(path).nodes)
    return False


def is_prediction(path: Path) -> bool:
    """Whether a file holds predictions."""
    with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as file:
        return "prediction.npy" in file.namelist()
    return False


def is_page(path: Path) -> bool:
    """Whether a file is the page of a report."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return PAGE_MARK in file.read(4096)
    return False


def is_proof(path: Path) -> bool:
    """Whether a file is a proof for every word."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(len(PROOF_MARK)) == PROOF_MARK
    return False


def _facts(path: Path) -> dict:
    """What we wrote into the head of a safetensors file; nothing where it is none of ours."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, struct.error), path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        facts = json.loads(json.loads(file.read(min(length, 1 << 28)))["__metadata__"]["convexsnn"])
        return facts if isinstance(facts, dict) else {}
    return {}
