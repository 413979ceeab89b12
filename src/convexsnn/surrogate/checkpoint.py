"""Checkpoints of surrogate-gradient training."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from convexsnn.checkpoints import Contents, check_nothing_else, read_checkpoint, write_checkpoint
from convexsnn.checks import check_integer, check_real
from convexsnn.network import Network
from convexsnn.problem import Problem
from convexsnn.reading import reading
from convexsnn.surrogate.settings import SurrogateSettings
from convexsnn.tensors import digest_of, digest_of_tensor

# What is written, and the version of its form.
KIND = "surrogate 2"


@dataclass(frozen=True)
class Epoch:
    """What is noted of one epoch.

    Attributes
    ----------
    number : int
        From 1.
    objective : float
        Mean over the epoch's batches, each before its step: loss, with rho * Omega(W) where that is trained on.
    validation_score : float or None
    learning_rate : float
        At the end of the epoch.
    seconds : float
        Since training began, or was resumed.
    """

    number: int
    objective: float
    validation_score: float | None
    learning_rate: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All of a run between two epochs: weights, best weights and Adam's moments by name."""

    weights: dict[str, Tensor]
    best: dict[str, Tensor]
    moments: dict[str, Tensor]
    best_epoch: int
    history: tuple[Epoch, ...]


def training_identity(start: Network, problem: Problem, settings: SurrogateSettings, seed: int) -> str:
    """SHA-256 of everything that the course of training depends on.

    At a constant learning rate that is not the number of epochs: a run can be made longer.
    """
    if settings.schedule == "constant":
        settings = replace(settings, epochs=1)
    network = digest_of(start.hidden), digest_of_tensor(start.W)
    return hashlib.sha256(repr((problem.digest, network, settings, seed)).encode()).hexdigest()


def write_snapshot(path: str | Path, snapshot: Snapshot, of: str) -> None:
    """Write `snapshot` of the run whose `training_identity` is `of`. Raises OSError when the file cannot be written."""
    write_checkpoint(path, KIND, of, *_contents(snapshot))


def _contents(snapshot: Snapshot) -> Contents:
    """What is written of a snapshot."""
    parts = {"weights": snapshot.weights, "best": snapshot.best, "moments": snapshot.moments}
    tensors = {f"{part}/{name}": tensor for part, named in parts.items() for name, tensor in named.items()}
    return {"best_epoch": snapshot.best_epoch, "history": [asdict(epoch) for epoch in snapshot.history]}, tensors


def read_snapshot(path: str | Path, of: str) -> Snapshot:
    """Inverse of `write_snapshot`; ValueError when the file is damaged, foreign, or of a run other than `of`."""
    state, tensors = read_checkpoint(path, KIND, of)
    part = lambda name: {k.partition("/")[2]: t for k, t in tensors.items() if k.startswith(name + "/")}  # noqa: E731
    with reading(path, "history"):
        history = tuple(_epoch(fields) for fields in state["history"])
        best_epoch = check_integer("best_epoch", state["best_epoch"], minimum=0, maximum=len(history))
        snapshot = Snapshot(part("weights"), part("best"), part("moments"), best_epoch, history)
    check_nothing_else(path, (state, tensors), _contents(snapshot))
    return snapshot


def _epoch(fields: dict[str, Any]) -> Epoch:
    epoch = Epoch(**fields)
    check_integer("number", epoch.number)
    for name in ("objective", "learning_rate", "seconds"):
        check_real(name, fields[name])
    if epoch.validation_score is not None:
        check_real("validation_score", epoch.validation_score)
    return epoch
