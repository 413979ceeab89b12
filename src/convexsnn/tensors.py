"""Hidden networks as named tensors and a description in JSON: how they are written to safetensors files."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from convexsnn.checks import check_flag, check_integer, check_names
from convexsnn.network import DTYPES, Branch, Hidden, Layer
from convexsnn.neurons import neuron_kind
from convexsnn.readouts import as_readout


def describe_hidden(hidden: Hidden, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The settings of a hidden network for the header; its tensors are added to `tensors`."""
    for name, tensor in _named_tensors(hidden, prefix):
        tensors[name] = tensor
    return {
        "n_features": hidden.n_features,
        "readout": hidden.readout.describe(),
        "every_step": hidden.every_step,
        "dtype": next(name for name, dtype in DTYPES.items() if dtype == hidden.dtype),
        "branches": [[_describe_layer(layer) for layer in branch.layers] for branch in hidden.branches],
    }


def _describe_layer(layer: Layer) -> dict[str, Any]:
    delays = {"delays": list(layer.delays)} if layer.delayed else {}
    return {"kind": layer.neuron.name} | layer.neuron.settings() | delays


def _named_tensors(hidden: Hidden, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for k, branch in enumerate(hidden.branches):
        if branch.readout_bias is not None:
            yield f"{prefix}.{k}.readout_bias", branch.readout_bias
        for i, layer in enumerate(branch.layers):
            named = {"weight": layer.weight, "recurrent": layer.recurrent, "bias": layer.bias}
            named |= layer.neuron.tensors()
            yield from ((f"{prefix}.{k}.{i}.{name}", t) for name, t in named.items() if t is not None)


def rebuild_hidden(description: dict[str, Any], prefix: str, tensors: dict[str, Tensor]) -> Hidden:
    """Inverse of `describe_hidden`.

    Raises
    ------
    KeyError
        Where a tensor is missing.
    ValueError
        On kinds of neurons or readouts that are not known, named, and on tensors that do not fit.
    """
    check_names(prefix, description, ("n_features", "readout", "every_step", "dtype", "branches"))
    named: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for full, tensor in tensors.items():
        at, _, name = full.rpartition(".")
        named[at][name] = tensor
    branches = []
    for k, layers in enumerate(description["branches"]):
        built = tuple(_rebuild_layer(neuron, f"{prefix}.{k}.{i}", named) for i, neuron in enumerate(layers))
        branches.append(Branch(built, named[f"{prefix}.{k}"].get("readout_bias")))
    return Hidden(
        check_integer("n_features", description["n_features"]),
        tuple(branches),
        as_readout(description["readout"]),
        check_flag("every_step", description["every_step"]),
        DTYPES[description["dtype"]],
    )


def _rebuild_layer(description: dict[str, Any], at: str, named: dict[str, dict[str, Tensor]]) -> Layer:
    settings, own = dict(description), named[at]
    kind, delays = neuron_kind(settings.pop("kind")), tuple(settings.pop("delays", (0,)))
    try:
        return Layer(own["weight"], kind.rebuild(settings, own), own.get("recurrent"), own.get("bias"), delays)
    except KeyError as error:
        raise KeyError(f"{at}.{error.args[0]}") from error


def digest_of(hidden: Hidden) -> str:
    """SHA-256 of a hidden network: its settings and every number in it."""
    tensors: dict[str, Tensor] = {}
    description = describe_hidden(hidden, "", tensors)
    parts = {name: digest_of_tensor(tensor) for name, tensor in tensors.items()}
    return hashlib.sha256(repr((description, parts)).encode()).hexdigest()


def digest_of_tensor(tensor: Tensor) -> str:
    """SHA-256 of a tensor: its dtype, its shape and every number in it."""
    array = np.ascontiguousarray(tensor.detach().cpu().numpy())
    return hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + array.tobytes()).hexdigest()
