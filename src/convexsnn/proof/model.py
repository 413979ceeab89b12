"""Reading a model file without torch: the header's facts and the tensors as numpy arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from .readouts import StoredReadout, read_readout

# 6: witness families with settings of their own. Older files are of versions that were never released.
FORMAT = 7


# The fields of the header, and of the hidden networks in it.
HEADER_KEYS = {
    *("format", "estimator", "parameters", "given", "witnesses", "network", "fitted", "status", "solver", "n_iter"),
    *("certificate", "seconds", "data_digest", "row_weights", "extra"),
}
HIDDEN_KEYS = {"n_features", "readout", "every_step", "dtype", "branches"}


class DamagedModelError(ValueError):
    """The model file cannot be read, or contradicts itself."""


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """One hidden layer; `reset` is None for threshold units, which have neither leak nor threshold.

    `weight` has the rows of the first delay, then those of the second, and so on.
    """

    weight: np.ndarray
    recurrent: np.ndarray | None
    bias: np.ndarray | None
    reset: str | None
    leak: np.ndarray
    threshold: np.ndarray
    delays: tuple[int, ...] = (0,)

    @property
    def m(self) -> int:
        """Neurons."""
        return self.weight.shape[1]


@dataclass(frozen=True, eq=False)
class StoredBranch:
    """A stack of layers, the last of which is read out."""

    layers: tuple[StoredLayer, ...]
    readout_bias: np.ndarray | None


@dataclass(frozen=True, eq=False)
class StoredHidden:
    """Parallel branches, and how they are read."""

    n_features: int
    branches: tuple[StoredBranch, ...]
    readout: StoredReadout
    every_step: bool
    dtype: np.dtype

    @property
    def n_last(self) -> int:
        """Columns: of each neuron of the last layers as many as the readout has parts."""
        return self.readout.parts * sum(branch.layers[-1].m for branch in self.branches)


@dataclass(frozen=True, eq=False)
class Model:
    """A model file: `header` is its JSON, `tensors` W, U, row_weights, network.W and at most family_dual, float64."""

    header: dict[str, Any]
    witnesses: StoredHidden
    network: StoredHidden
    tensors: dict[str, np.ndarray]


def read_model(path: Path) -> Model:
    """Read a model file.

    Raises
    ------
    DamagedModelError
        When the file is missing, truncated, foreign or contradicts itself.
    """
    if not path.is_file():
        raise DamagedModelError(f"there is no model file {path}")
    try:
        with safe_open(str(path), framework="np") as file:
            header = parse_strictly((file.metadata() or {})["convexsnn"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if header["format"] != FORMAT:
            raise ValueError(f"its format is {header['format']!r}, and only {FORMAT} can be proved: fit the model anew")
        if "members" in header:
            raise ValueError("it holds the mean of several fits, which solves no program: save one of its members_")
        if header.keys() != HEADER_KEYS:
            raise ValueError(f"its header must have the fields {sorted(HEADER_KEYS)}")
        witnesses, network = (_hidden(header[name], name, tensors) for name in ("witnesses", "network"))
        kept = {name: tensors.pop(name) for name in ("W", "U", "row_weights", "network.W")}
        if "family_dual" in tensors:
            kept["family_dual"] = tensors.pop("family_dual")
        unknown = [name for name in tensors if not name.startswith(("witnesses.", "network.", "given."))]
        if unknown:
            raise ValueError(f"it holds tensors that no model has: {unknown}")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedModelError(f"model file {path} is damaged: {error!r}") from error
    for name, tensor in kept.items():
        if tensor.dtype != np.float64 or not np.isfinite(tensor).all():
            raise DamagedModelError(f"the stored {name} is not finite float64")
    return Model(header, witnesses, network, kept)


def parse_strictly(text: str) -> Any:
    """The value of a JSON text. ValueError for infinities and NaN, an object with a key twice, and endless nesting."""
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_unique_keys)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"a key stands twice in one object: {sorted(key for key, _ in pairs)}")
    return dict(pairs)


def _hidden(facts: dict[str, Any], prefix: str, tensors: dict[str, np.ndarray]) -> StoredHidden:
    if facts.keys() != HIDDEN_KEYS:
        raise ValueError(f"{prefix} must have the fields {sorted(HIDDEN_KEYS)}")
    dtype = {"float64": np.dtype(np.float64), "float32": np.dtype(np.float32)}[facts["dtype"]]
    readout = read_readout(facts["readout"])
    if not isinstance(facts["every_step"], bool):
        raise ValueError(f"its every_step must be true or false, not {facts['every_step']!r}")
    branches = []
    for k, kinds in enumerate(facts["branches"]):
        layers, below = [], facts["n_features"]
        for i, kind in enumerate(kinds):
            layers.append(_layer(kind, f"{prefix}.{k}.{i}.", tensors, below, dtype))
            below = layers[-1].m
        branches.append(StoredBranch(tuple(layers), _tensor(tensors, f"{prefix}.{k}.readout_bias", (below,), dtype)))
        if not layers:
            raise ValueError(f"branch {k} has no layers")
    return StoredHidden(facts["n_features"], tuple(branches), readout, facts["every_step"], dtype)


def _layer(kind: dict[str, Any], at: str, tensors: dict[str, np.ndarray], below: int, dtype: np.dtype) -> StoredLayer:
    m = tensors[at + "weight"].shape[-1]
    get = lambda name, *shape: _tensor(tensors, at + name, shape, dtype)  # noqa: E731
    delays = _delays(kind.get("delays", [0]))
    weight, recurrent, bias = get("weight", len(delays) * below, m), get("recurrent", m, m), get("bias", m)
    leak, threshold, reset = get("leak", m), get("threshold", m), kind.get("reset")
    if kind["kind"] == "threshold":
        reset, leak, threshold = None, np.zeros(m, dtype), np.zeros(m, dtype)
    elif kind["kind"] != "lif" or reset not in ("soft", "hard", "none", "delayed"):
        raise ValueError(f"the neurons {kind} are unknown")
    if weight is None or leak is None or threshold is None:
        raise ValueError(f"{at}leak or {at}threshold is missing")
    if not ((leak >= 0) & (leak <= 1)).all():
        raise ValueError(f"{at}leak is not in [0, 1]")
    return StoredLayer(weight, recurrent, bias, reset, leak, threshold, delays)


def _delays(delays: Any) -> tuple[int, ...]:
    whole = isinstance(delays, list) and all(type(delay) is int and delay >= 0 for delay in delays)
    if not whole or not delays or delays != sorted(set(delays)):
        raise ValueError(f"the delays {delays!r} are not different numbers of steps in ascending order")
    return tuple(delays)


def _tensor(tensors: dict[str, np.ndarray], name: str, shape: tuple, dtype: np.dtype) -> np.ndarray | None:
    tensor = tensors.get(name)
    if tensor is not None and (tensor.shape != shape or tensor.dtype != dtype or not np.isfinite(tensor).all()):
        raise ValueError(f"tensor {name} must be finite {dtype} of shape {shape}, got {tensor.dtype} {tensor.shape}")
    return tensor
