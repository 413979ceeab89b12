"""Checkpoints of surrogate-gradient training: safetensors with a JSON header, written as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from convexsnn.files import write_atomically
from convexsnn.network import Network
from convexsnn.surrogate.problem import Problem
from convexsnn.surrogate.settings import SurrogateSettings

FORMAT = 1


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


def identity(start: Network, problem: Problem, settings: SurrogateSettings, seed: int, frozen_layers: int) -> str:
    """SHA-256 of everything that the course of training depends on.

    At a constant learning rate that is not the number of epochs: a run can be made longer.
    """
    if settings.schedule == "constant":
        settings = replace(settings, epochs=1)
    digest = hashlib.sha256(repr((settings, seed, frozen_layers, problem.loss, problem.penalty, problem.rho)).encode())
    hidden = start.hidden
    digest.update(repr((hidden.n_features, hidden.readout, hidden.every_step, hidden.dtype)).encode())
    tensors: list[Tensor | None] = [
        problem.sequences.values,
        problem.sequences.lengths,
        problem.targets,
        problem.row_weights,
        start.W,
    ]
    for branch in hidden.branches:
        tensors.append(branch.readout_bias)
        for layer in branch.layers:
            digest.update(repr((layer.neuron.name, layer.neuron.settings(), list(layer.neuron.tensors()))).encode())
            tensors += [layer.weight, layer.recurrent, layer.bias, *layer.neuron.tensors().values()]
    for tensor in tensors:
        if tensor is not None:
            array = np.ascontiguousarray(tensor.detach().cpu().numpy())
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def write_checkpoint(path: str | Path, snapshot: Snapshot, of: str) -> None:
    """Write `snapshot` of the run whose `identity` is `of`. Raises OSError when the file cannot be written."""
    parts = {"weights": snapshot.weights, "best": snapshot.best, "moments": snapshot.moments}
    tensors = {f"{part}/{name}": t.cpu().contiguous() for part, named in parts.items() for name, t in named.items()}
    header = {
        "format": FORMAT,
        "identity": of,
        "best_epoch": snapshot.best_epoch,
        "history": [asdict(epoch) for epoch in snapshot.history],
    }
    write_atomically(path, serialize(tensors, metadata={"convexsnn_checkpoint": json.dumps(header)}))


def read_checkpoint(path: str | Path, of: str) -> Snapshot:
    """Inverse of `write_checkpoint`; ValueError when the file is damaged, foreign, or of a run other than `of`."""
    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {})["convexsnn_checkpoint"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']} is not {FORMAT}")
        same = header["identity"] == of
        history = tuple(Epoch(**fields) for fields in header["history"])
        part = lambda name: {k.partition("/")[2]: t for k, t in tensors.items() if k.startswith(name + "/")}  # noqa: E731
        snapshot = Snapshot(part("weights"), part("best"), part("moments"), int(header["best_epoch"]), history)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"checkpoint {path} cannot be read ({error}): delete it to train anew") from error
    if not same:
        raise ValueError(f"checkpoint {path} is of another network, data, seed or settings: name another file")
    return snapshot
