"""What is claimed: a network and an automaton as integers over a power of two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convexsnn.network import DTYPES, Branch, Hidden, Layer, Network, lif_of, without_delays
from convexsnn.readouts import Membrane, Spike
from convexsnn.tasks import Automaton

WHO = "a proof for every word"
# Binary places of a claim at least: bounds of rounding errors are multiples of the square of the last one.
LEAST_PLACES = 64


def claim_of(network: Network, automaton: Automaton) -> dict[str, Any]:
    """The fields of a proof file that say what is proved: dtype, places, network and automaton.

    Parameters
    ----------
    network : Network
        Of LIF neurons and threshold units, read by "spike" or "membrane".
    automaton : Automaton
        Its answers are numbers of the network's classes.

    Raises
    ------
    ValueError
        For networks that the proof does not know, by name, and where the automaton does not fit the network.
    """
    check_claim(network, automaton)
    vectors = torch.tensor(automaton.vectors, dtype=torch.float64).to(network.hidden.dtype)
    places = max(LEAST_PLACES, _places(vectors), _network_places(network))
    machine = {
        "symbols": _integers(vectors, places),
        "start": automaton.start,
        "transitions": [list(row) for row in automaton.transitions],
        "answers": [list(row) for row in automaton.answers],
    }
    return _network_claim(network, places) | {"places": places, "automaton": machine}


def is_about(content: dict[str, Any], network: Network) -> bool:
    """Whether the content of a proof file is about exactly this network."""
    places = content["places"]
    own = _network_claim(network, places) if places >= _network_places(network) else {}
    return own == {name: content[name] for name in ("dtype", "network")}


def check_claim(network: Network, automaton: Automaton) -> None:
    """Raise ValueError, by name, for what the proof does not know, and for an automaton that does not fit."""
    hidden = network.hidden
    if not isinstance(hidden.readout, Spike | Membrane):
        raise ValueError(f"{WHO} knows the readouts 'spike' and 'membrane', not {hidden.readout.name!r}")
    for layer in hidden.layers():
        neuron = lif_of(without_delays(layer, WHO), WHO)
        if neuron.reset == "delayed" and bool((neuron.threshold <= 0).any()):
            raise ValueError(f"{WHO} knows the reset 'delayed' with positive thresholds only")
    if automaton.n_features != hidden.n_features:
        raise ValueError(
            f"the automaton shows {automaton.n_features} features, but the network has {hidden.n_features}"
        )
    classes = max(2, network.W.shape[1])
    if automaton.labels and automaton.labels[-1] >= classes:
        raise ValueError(f"the automaton asks for class {automaton.labels[-1]}, but the network has {classes} classes")


def flattened(hidden: Hidden) -> Iterator[tuple[int, Layer]]:
    """All layers, branch by branch, each with the number of the layer that it reads; -1 is the input."""
    at = 0
    for branch in hidden.branches:
        for k, layer in enumerate(branch.layers):
            yield (at - 1 if k else -1), layer
            at += 1


def read_layers(hidden: Hidden) -> Iterator[tuple[int, Branch]]:
    """The number of each branch's last layer among all layers."""
    at = -1
    for branch in hidden.branches:
        at += len(branch.layers)
        yield at, branch


def _network_claim(network: Network, places: int) -> dict[str, Any]:
    """The fields of a claim that say which network it is about."""
    hidden, integers = network.hidden, lambda tensor: _integers(tensor, places)
    facts = {
        "layers": [_layer_claim(below, layer, integers) for below, layer in flattened(hidden)],
        "readout": hidden.readout.name,
        "read": [{"layer": at, "bias": integers(_read_bias(branch))} for at, branch in read_layers(hidden)],
        "output": integers(network.W),
        "outputs": network.W.shape[1],
    }
    return {"dtype": next(name for name, dtype in DTYPES.items() if dtype == hidden.dtype), "network": facts}


def _network_places(network: Network) -> int:
    """Binary places of all parameters."""
    tensors = [network.W, *(tensor for layer in network.hidden.layers() for tensor in _tensors(layer))]
    return max(map(_places, [*tensors, *(_read_bias(branch) for branch in network.hidden.branches)]))


def _read_bias(branch: Branch) -> Tensor:
    return torch.zeros(branch.last.m, dtype=torch.float64) if branch.readout_bias is None else branch.readout_bias


def _tensors(layer: Layer) -> list[Tensor]:
    own = lif_of(layer, WHO)
    given = (layer.weight, layer.recurrent, layer.bias, own.leak, own.threshold)
    return [tensor for tensor in given if tensor is not None]


def _layer_claim(below: int, layer: Layer, integers: Any) -> dict[str, Any]:
    own = lif_of(layer, WHO)
    return {
        "below": below,
        "weight": integers(layer.weight),
        "recurrent": None if layer.recurrent is None else integers(layer.recurrent),
        "bias": integers(torch.zeros_like(own.leak) if layer.bias is None else layer.bias),
        "leak": integers(own.leak),
        "threshold": integers(own.threshold),
        "reset": own.reset,
    }


def _places(tensor: Tensor) -> int:
    """Binary places of the entries."""
    values = np.asarray(tensor.to(torch.float64).cpu()).ravel().tolist()
    return max((value.as_integer_ratio()[1].bit_length() - 1 for value in values), default=0)


def _integers(tensor: Tensor, places: int) -> Any:
    """The entries times 2**places, as nested lists of the tensor's shape."""
    if tensor.ndim > 1:
        return [_integers(row, places) for row in tensor]
    return [(n << places) // d for n, d in map(float.as_integer_ratio, tensor.to(torch.float64).tolist())]
