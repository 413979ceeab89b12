"""Parallel branches of one kind as a single chain with block-diagonal weights: what every reader of NIR can run."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.network import Branch, Layer, Network, lif_of
from convexsnn.neurons import LIF

Chain = tuple[tuple[Layer, ...], Tensor]
"""Layers of LIF neurons, and the output weights (m_last, C) of the last."""


def chains_of(network: Network) -> list[Chain]:
    """The branches as chains; those of equal depth, resets, delays and recurrence are joined into one.

    The spikes are the same: the joined weights are zero between branches.
    """
    groups: dict[object, list[tuple[Branch, Tensor]]] = {}
    start = 0
    for branch in network.hidden.branches:
        W = network.W[start : start + branch.last.m]
        start += branch.last.m
        groups.setdefault(tuple(map(_kind, branch.layers)), []).append((branch, W))
    return [
        (
            tuple(
                _join([branch.layers[i] for branch, _ in group], first=i == 0) for i in range(len(group[0][0].layers))
            ),
            torch.cat([W for _, W in group]),
        )
        for group in groups.values()
    ]


def _kind(layer: Layer) -> tuple[object, ...]:
    lif = lif_of(layer, "NIR")
    return lif.reset, bool((lif.leak == 1.0).any()), layer.recurrent is None, layer.delays


def _join(layers: list[Layer], *, first: bool) -> Layer:
    """Layers side by side; the first layers of branches share their input."""
    lifs = [lif_of(layer, "NIR") for layer in layers]
    neuron = LIF(torch.cat([lif.leak for lif in lifs]), torch.cat([lif.threshold for lif in lifs]), lifs[0].reset)
    # A weight for each delay, (delays, n_in, m).
    weights = [layer.weight.view(len(layer.delays), layer.n_in, layer.m) for layer in layers]
    joined = [torch.cat(same, dim=1) if first else torch.block_diag(*same) for same in zip(*weights, strict=True)]
    recurrent = [layer.recurrent for layer in layers if layer.recurrent is not None]
    biases = [torch.zeros_like(layer.weight[0]) if layer.bias is None else layer.bias for layer in layers]
    return Layer(
        torch.cat(joined),
        neuron,
        torch.block_diag(*recurrent) if recurrent else None,
        torch.cat(biases) if any(layer.bias is not None for layer in layers) else None,
        layers[0].delays,
    )
