"""Checkpoints of a search: safetensors with a JSON header, written as a whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor

from convexsnn.checkpoints import DAMAGED, read_checkpoint, unreadable, write_checkpoint
from convexsnn.columns import BitColumns
from convexsnn.network import Hidden
from convexsnn.readouts import as_readout
from convexsnn.search.branches.population import Population, StackedLayer
from convexsnn.search.dictionary import SearchDictionary
from convexsnn.search.history import Round
from convexsnn.search.oracles.credit import Credit
from convexsnn.search.state import SearchState, SearchTask, Settled
from convexsnn.tensors import describe_hidden, digest_of, rebuild_hidden

# What is written, and the version of its form.
KIND = "search 5"
POOL_TENSORS = ("owner", "neuron", "origin", "idle", "W")


def search_identity(task: SearchTask, given: Hidden, seed: int) -> str:
    """SHA-256 of everything that the course of a search depends on."""
    settings = {name: value for name, value in vars(task.settings).items() if name not in task.settings.BUDGETS}
    facts = (task.problem.digest, settings, seed, digest_of(given))
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def write_state(path: str | Path, state: SearchState, of: str) -> None:
    """Write `state` of the search whose `search_identity` is `of`. Raises OSError when the file cannot be written."""
    tensors = {"U": state.U, "random": state.random}
    header: dict[str, Any] = {
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
    write_checkpoint(path, KIND, of, header, tensors)


def read_state(path: str | Path, of: str) -> SearchState:
    """Inverse of `write_state`; ValueError when the file is damaged, foreign, or of a search other than `of`."""
    header, tensors = read_checkpoint(path, KIND, of)
    try:
        return SearchState(
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
    except DAMAGED as error:
        raise unreadable(path, error) from error


def _describe_pool(pool: SearchDictionary, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    tensors |= {f"{prefix}.{name}": getattr(pool, name) for name in POOL_TENSORS}
    tensors[f"{prefix}.packed"] = pool.columns.packed
    genomes = None if pool.genomes is None else _describe(pool.genomes, f"{prefix}.genomes", tensors)
    return {"n": pool.columns.n, "genomes": genomes, "given": describe_hidden(pool.given, f"{prefix}.given", tensors)}


def _rebuild_pool(facts: dict[str, Any], prefix: str, tensors: dict[str, Tensor]) -> SearchDictionary:
    """Inverse of `_describe_pool`."""
    genomes = facts["genomes"]
    return SearchDictionary(
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
