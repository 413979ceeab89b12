"""Checkpoints of a search."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convexsnn.checkpoints import Contents, check_nothing_else, read_checkpoint, write_checkpoint
from convexsnn.checks import check_choice, check_integer, check_real
from convexsnn.network import Hidden
from convexsnn.neurons import RESETS
from convexsnn.problem import Problem
from convexsnn.reading import reading
from convexsnn.readouts import as_readout
from convexsnn.sealed import check_tensor
from convexsnn.search.branches.population import Population, StackedLayer
from convexsnn.search.dictionary import GIVEN, SearchDictionary
from convexsnn.search.history import Round
from convexsnn.search.oracles.credit import Credit
from convexsnn.search.patterns import rebuilt, stored
from convexsnn.search.settings import SearchSettings
from convexsnn.search.state import SearchState, Settled
from convexsnn.tensors import describe_hidden, digest_of, rebuild_hidden

# What is written, and the version of its form.
KIND = "search 7"
COUNTS = ("owner", "place", "origin", "idle")
POOL_TENSORS = (*COUNTS, "W")


def search_identity(problem: Problem, settings: SearchSettings, given: Hidden, seed: int) -> str:
    """SHA-256 of everything that the course of a search depends on."""
    heeded = {name: value for name, value in vars(settings).items() if name not in settings.BUDGETS}
    facts = (problem.digest, heeded, settings.multiples, seed, digest_of(given))
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def write_state(path: str | Path, state: SearchState, of: str) -> None:
    """Write `state` of the search whose `search_identity` is `of`. Raises OSError when the file cannot be written."""
    write_checkpoint(path, KIND, of, *_contents(state))


def _contents(state: SearchState) -> Contents:
    """What is written of a state."""
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
    return header, tensors


def read_state(path: str | Path, of: str) -> SearchState:
    """Inverse of `write_state`; ValueError when the file is damaged, foreign, or of a search other than `of`."""
    header, tensors = read_checkpoint(path, KIND, of)
    with reading(path, "pool"):
        pool = _rebuild_pool(header["pool"], "pool", tensors)
        U = check_tensor("U", tensors.get("U"), torch.float64, pool.columns.shape[0], pool.W.shape[1])
    with reading(path, "kept"):
        kept = {name: _rebuild(facts, f"kept.{name}", tensors) for name, facts in header["kept"].items()}
    with reading(path, "settled"):
        settled = tuple(
            Settled(_rebuild_pool(facts["pool"], f"settled.{i}", tensors), check_real("score", facts["score"]))
            for i, facts in enumerate(header["settled"])
        )
    with reading(path, "history"):
        history = tuple(Round.from_dict(fields) for fields in header["history"])
        if not history:
            raise ValueError("there is no round")
    with reading(path, "state"):
        state = SearchState(
            pool=pool,
            U=U,
            kept=kept,
            credit=Credit({name: check_real(f"rate of {name}", rate) for name, rate in header["rates"].items()}),
            random=tensors["random"],
            history=history,
            idle=check_integer("idle", header["idle"], minimum=0),
            stage=check_integer("stage", header["stage"], minimum=0),
            settled=settled,
        )
        _ = state.generator  # refuses a state that no generator has
    check_nothing_else(path, (header, tensors), _contents(state))
    return state


def _describe_pool(pool: SearchDictionary, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    tensors |= {f"{prefix}.{name}": getattr(pool, name) for name in POOL_TENSORS}
    tensors[f"{prefix}.columns"] = stored(pool.columns)
    genomes = None if pool.genomes is None else _describe(pool.genomes, f"{prefix}.genomes", tensors)
    return {
        "n": pool.columns.shape[0],
        "genomes": genomes,
        "given": describe_hidden(pool.given, f"{prefix}.given", tensors),
    }


def _rebuild_pool(facts: dict[str, Any], prefix: str, tensors: dict[str, Tensor]) -> SearchDictionary:
    """Inverse of `_describe_pool`."""
    given = rebuild_hidden(facts["given"], f"{prefix}.given", tensors)
    genomes = None if facts["genomes"] is None else _rebuild(facts["genomes"], f"{prefix}.genomes", tensors)
    P, C = tensors[f"{prefix}.W"].shape
    n = check_integer("n", facts["n"])
    take = lambda name, dtype, *shape: check_tensor(  # noqa: E731
        f"{prefix}.{name}", tensors.get(f"{prefix}.{name}"), dtype, *shape
    )
    columns = (
        take("columns", torch.uint8, P, -(-n // 8)) if given.readout.bits else take("columns", torch.float64, P, n)
    )
    counts = {name: take(name, torch.int64, P) for name in COUNTS}
    pool = SearchDictionary(given, genomes, **counts, columns=rebuilt(columns, n), W=take("W", torch.float64, P, C))
    _check_owners(pool, prefix)
    return pool


def _check_owners(pool: SearchDictionary, prefix: str) -> None:
    """ValueError where a column is of a branch, or a place in it, that there is not."""
    found = pool.owner != GIVEN
    branches, places = (0, 0) if pool.genomes is None else (len(pool.genomes), pool.genomes.n_last)
    for which, owners, most in ((found, branches, places), (~found, 0, pool.given.n_last)):
        owner, place = pool.owner[which], pool.place[which]
        if bool((owner < GIVEN).any() or (owner >= owners).any() or (place < 0).any() or (place >= most).any()):
            raise ValueError(f"{prefix}.owner and {prefix}.place name columns that there are not")


def _describe(population: Population, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    for i, layer in enumerate(population.layers):
        for name, tensor in vars(layer).items():
            if tensor is not None:
                tensors[f"{prefix}.{i}.{name}"] = tensor
    facts = {"neuron": population.neuron, "reset": population.reset, "readout": population.readout.describe()}
    return facts | {"layers": len(population.layers)}


def _rebuild(description: dict[str, Any], prefix: str, tensors: dict[str, Tensor]) -> Population:
    """Inverse of `_describe`; ValueError for tensors that do not fit one another."""
    count = check_integer("layers", description["layers"], maximum=len(tensors))
    layers, below = [], None
    for i in range(count):
        own = {name: tensors.get(f"{prefix}.{i}.{name}") for name in StackedLayer.__dataclass_fields__}
        weight = own["weight"]
        if weight is None or weight.ndim != 3:
            raise ValueError(f"tensor {prefix}.{i}.weight must have shape (B, n_in, m)")
        B, n_in, m = weight.shape
        shapes = {"weight": (B, n_in if below is None else below[1], m), "recurrent": (B, m, m)}
        for name, tensor in own.items():
            if tensor is not None or name in ("weight", "leak", "threshold"):
                check_tensor(f"{prefix}.{i}.{name}", tensor, torch.float32, *shapes.get(name, (B, m)))
        if below is not None and below[0] != B:
            raise ValueError(f"layers of {prefix} have {below[0]} and {B} branches")
        layers.append(StackedLayer(**own))  # type: ignore[arg-type]
        below = (B, m)
    reset = check_choice("reset", description["reset"], RESETS)
    return Population(tuple(layers), description["neuron"], reset, as_readout(description["readout"]))  # type: ignore[arg-type]
