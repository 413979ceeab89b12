"""A model's folder: its files, which are of one fit and sealed together, read and written as one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convexsnn.estimators import Estimator
from convexsnn.files import check_replaceable, replace_folder, sweep
from convexsnn.proof import SEALED, SUMS, content_problems, sum_problems
from convexsnn.ranks import Ranks, wait
from convexsnn.storage import load_model, read_header

MODEL, CERTIFICATE, METRICS, PATH = "model.safetensors", "certificate.json", "metrics.json", "path.json"
HISTORY, QUANTISED, SETTINGS = "history.json", "quantised.json", "settings.toml"
# Files that a command puts in place together: those that are sealed, and their seal.
OWNED = (*SEALED, SUMS)
# The state of a search, from which a killed fit goes on; it has a seal of its own and is no part of the model.
CHECKPOINT = "search.safetensors"
# The columns of drawn neurons as far as they are made, a folder of sealed files, from which a killed fit goes on.
COLUMNS = "columns"
# The rounds of training until there is a proof, from which a killed fit goes on.
ROUNDS = "rounds.safetensors"
# A proof that the network is right on every word.
PROOF = "proof.json"


def model_file(model: Path) -> Path:
    """The model file of a folder, or the file itself; what a killed run left of the folder is put right first."""
    if model.is_file():
        return model
    sweep(model, OWNED)
    return model / MODEL


def sweep_first(model: Path, ranks: Ranks) -> None:
    """Have the first of several ranks put right what a killed run left of a folder, before the others look at it."""
    if ranks.rank == 0:
        model_file(model)
    wait(ranks)


def read_model(model: Path) -> tuple[Estimator, dict[str, Any]]:
    """The fitted estimator of a folder, or of a model file alone, and what else the file says.

    Raises
    ------
    ValueError
        When the file cannot be read, or the files of the folder are not all of one fit.
    """
    path = model_file(model)
    problems = seal_problems(model)
    if problems:
        raise ValueError(f"the files in {model} are not all as one run wrote them: {'; '.join(problems)}")
    return load_model(path)


def seal_problems(model: Path) -> list[str]:
    """Why the files of a folder are not all of one fit; nothing for a model file alone."""
    if not model.is_dir():
        return []
    if (model / SUMS).is_file():
        return sum_problems(model)
    beside = [name for name in SEALED if name != MODEL and (model / name).is_file()]
    return [f"{SUMS} is missing, so nothing says that {', '.join(beside)} and {MODEL} are of one fit"] if beside else []


def folder_problems(model: Path) -> list[str]:
    """Why the files of a folder are not all of one fit, or do not say what its model says; nothing for a file alone.

    The model is one that `load_model` has read.
    """
    if not model.is_dir():
        return []
    return [*seal_problems(model), *content_problems(model, read_header(model / MODEL))]


def write_model(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put the files of a fit in place with their seal, as a whole or not at all. Raises OSError when they cannot be."""
    replace_folder(folder, {**files, SUMS: _seal(files)}, OWNED)


def add_to_model(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put more files into a model's folder, in place of those of their names, and seal all of it anew.

    Raises
    ------
    ValueError
        When the files that are there are not as they were written: a new seal must not cover that.
    OSError
        When it cannot be written; the folder is then as it was.
    """
    if problems := seal_problems(folder):
        raise ValueError("; ".join(problems))
    there = {name: (folder / name).read_bytes() for name in SEALED if (folder / name).is_file()}
    write_model(folder, {**there, **files})


def check_out(folder: Path) -> None:
    """Raise ValueError, before any work, where `write_model` could not write; put right what a killed run left."""
    sweep(folder, OWNED)
    check_replaceable(folder)


def _seal(files: Mapping[str, bytes]) -> bytes:
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "".join(lines).encode()
