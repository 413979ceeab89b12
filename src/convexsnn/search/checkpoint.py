"""Checkpoints of a search: safetensors with a JSON header, written as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from convexsnn.columns import BitColumns
from convexsnn.files import write_atomically
from convexsnn.network import Hidden
from convexsnn.readouts import as_readout
from convexsnn.search.credit import Credit
from convexsnn.search.history import Round
from convexsnn.search.pool import Pool
from convexsnn.search.population import Population, StackedLayer
from convexsnn.search.state import Settled, State, Task
from convexsnn.tensors import describe_hidden, rebuild_hidden

FORMAT = 4
# What may differ between two sittings of the same search: when to end it, and what is done at its end.
BUDGETS = ("rounds", "patience", "attempts", "jury", "seconds", "max_columns", "slim", "prune")
POOL_TENSORS = ("owner", "neuron", "origin", "idle", "W")


def identity(task: Task, given: Hidden, seed: int) -> str:
    """SHA-256 of everything that the course of a search depends on."""
    defaults = dict.fromkeys(BUDGETS)
    settings = {name: value for name, value in vars(task.settings).items() if name not in defaults}
    tensors: dict[str, Tensor] = {
        "values": task.sequences.values,
        "lengths": task.sequences.lengths,
        "targets": task.rows.targets,
        "weights": task.rows.groups.weights,
    }
    if task.held is not None:
        tensors["validation"] = task.held.validation.sequences.values
    description = describe_hidden(given, "given", tensors)
    facts = (settings, task.space.architecture, task.program, task.rho, seed, description)
    digest = hashlib.sha256(repr(facts).encode())
    for name, tensor in tensors.items():
        array = np.ascontiguousarray(tensor.detach().cpu().numpy())
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_checkpoint(path: str | Path, state: State, of: str) -> None:
    """Write `state` of the search whose `identity` is `of`. Raises OSError when the file cannot be written."""
    tensors = {"U": state.U, "random": state.random}
    header: dict[str, Any] = {
        "format": FORMAT,
        "identity": of,
        "rates": state.credit.rates,
        "history": [entry.to_dict() for entry in state.history],
        "idle": state.idle,
        "stage": state.stage,
        "pool": _describe_pool(state.pool, "pool", tensors),
        "kept": {name: _describe(population, f"kept.{name}", tensors) for name, population in state.kept.items()},
        "settled": [
            {"pool": _describe_pool(one.pool, f"settled.{i}", tensors), "score": one.score}
            for i, one in enumerate(state.settled)
        ],
    }
    ready = {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(path, serialize(ready, metadata={"convexsnn_search": json.dumps(header)}))


def read_checkpoint(path: str | Path, of: str) -> State:
    """Inverse of `write_checkpoint`; ValueError when the file is damaged, foreign, or of a search other than `of`."""
    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {})["convexsnn_search"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']} is not {FORMAT}")
        same = header["identity"] == of
        state = State(
            pool=_rebuild_pool(header["pool"], "pool", tensors),
            U=tensors["U"],
            kept={name: _rebuild(facts, f"kept.{name}", tensors) for name, facts in header["kept"].items()},
            credit=Credit(header["rates"]),
            random=tensors["random"],
            history=tuple(Round.from_dict(fields) for fields in header["history"]),
            idle=int(header["idle"]),
            stage=int(header["stage"]),
            settled=tuple(
                Settled(_rebuild_pool(facts["pool"], f"settled.{i}", tensors), float(facts["score"]))
                for i, facts in enumerate(header["settled"])
            ),
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"checkpoint {path} cannot be read ({error}): delete it to search anew") from error
    if not same:
        raise ValueError(f"checkpoint {path} is of other data, settings or seed: name another file, or delete it")
    return state


def _describe_pool(pool: Pool, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    tensors |= {f"{prefix}.{name}": getattr(pool, name) for name in POOL_TENSORS}
    tensors[f"{prefix}.packed"] = pool.columns.packed
    genomes = None if pool.genomes is None else _describe(pool.genomes, f"{prefix}.genomes", tensors)
    return {"n": pool.columns.n, "genomes": genomes, "given": describe_hidden(pool.given, f"{prefix}.given", tensors)}


def _rebuild_pool(facts: dict[str, Any], prefix: str, tensors: dict[str, Tensor]) -> Pool:
    """Inverse of `_describe_pool`."""
    genomes = facts["genomes"]
    return Pool(
        given=rebuild_hidden(facts["given"], f"{prefix}.given", tensors),
        genomes=None if genomes is None else _rebuild(genomes, f"{prefix}.genomes", tensors),
        columns=BitColumns(tensors[f"{prefix}.packed"], int(facts["n"])),
        **{name: tensors[f"{prefix}.{name}"] for name in POOL_TENSORS},
    )


def _describe(population: Population, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    for i, layer in enumerate(population.layers):
        for name, tensor in vars(layer).items():
            if tensor is not None:
                tensors[f"{prefix}.{i}.{name}"] = tensor
    facts = {"neuron": population.neuron, "reset": population.reset, "readout": population.readout.describe()}
    return facts | {"layers": len(population.layers)}


def _rebuild(description: dict[str, Any], prefix: str, tensors: dict[str, Tensor]) -> Population:
    """Inverse of `_describe`."""
    facts = dict(description)
    names = StackedLayer.__dataclass_fields__
    layers = tuple(
        StackedLayer(**{name: tensors.get(f"{prefix}.{i}.{name}") for name in names})  # type: ignore[arg-type]
        for i in range(facts.pop("layers"))
    )
    return Population(layers, facts["neuron"], facts["reset"], as_readout(facts["readout"]))
