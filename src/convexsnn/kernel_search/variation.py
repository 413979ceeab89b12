"""Kernels that differ a little from given ones."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.network import Branch, Hidden, Layer, delayed
from convexsnn.reconstruction.pruning import keep_neurons
from convexsnn.sequences import Sequences
from convexsnn.witnesses.kernels import between, units

# Thresholds are made for so many sequences.
SHOWN = 4
# A weight changes by up to this share of the neuron's usual weight, and often by much less.
LARGEST_CHANGE, SMALLEST_CHANGE = 0.3, 0.04
# Of the varied kernels, those that keep all weights, and change in their threshold alone.
SAME_WEIGHTS = 0.25
# A threshold moves by about this share of the potentials.
LEVEL_CHANGE = 0.15


def varied(hidden: Hidden, sequences: Sequences, copies: int, generator: torch.Generator) -> Hidden:
    """`copies` of each kernel with other weights for some of its taps, and other thresholds."""
    branches = tuple(Branch((_varied(branch.last, sequences, copies, generator),)) for branch in hidden.branches)
    return replace(hidden, branches=branches)


def _varied(layer: Layer, sequences: Sequences, copies: int, generator: torch.Generator) -> Layer:
    assert layer.bias is not None
    m = copies * layer.m
    draw = lambda *shape: torch.rand(*shape, generator=generator, dtype=layer.weight.dtype)  # noqa: E731
    # Weights as they are where every feature counts in units of its standard deviation.
    unit = units(sequences).repeat(len(layer.delays)).unsqueeze(1).to(layer.weight)
    weight = (layer.weight * unit).repeat(1, copies)
    used = (weight != 0.0).sum(dim=0).clamp(min=1)
    usual = (weight.square().sum(dim=0) / used).sqrt()
    change = LARGEST_CHANGE * torch.exp(math.log(SMALLEST_CHANGE / LARGEST_CHANGE) * draw(m))
    changes = (draw(*weight.shape) < draw(m)) & (draw(m) >= SAME_WEIGHTS)
    noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    weight = (weight + changes * noise * change * usual) / unit
    some = sequences.take(torch.randperm(len(sequences), generator=generator)[:SHOWN])
    seen = delayed(some.values.to(weight), layer.delays, time=1)[some.shown]
    level = (seen @ layer.weight < -layer.bias).to(weight).mean(dim=0).repeat(copies)
    level = level + LEVEL_CHANGE * torch.randn(m, generator=generator, dtype=weight.dtype) * draw(m)
    threshold = between((seen @ weight).T.sort(dim=1).values, level.clamp(0.0, 1.0).unsqueeze(1))
    return replace(layer, weight=weight, bias=-threshold)


def picked_kernels(hidden: Hidden, neurons: Tensor) -> Hidden:
    """The kernels of these numbers, in the order of the network."""
    read = torch.zeros(hidden.n_last, dtype=torch.bool).index_fill_(0, neurons, True)
    return keep_neurons(hidden, read)[0]


def by_delays(hidden: Hidden) -> Hidden:
    """The same kernels, with one branch for each set of delays: its kernels are simulated together."""
    alike: dict[tuple[int, ...], list[Layer]] = {}
    for branch in hidden.branches:
        alike.setdefault(branch.last.delays, []).append(branch.last)
    return replace(hidden, branches=tuple(Branch((_one(alike[delays]),)) for delays in sorted(alike)))


def _one(layers: list[Layer]) -> Layer:
    weight = torch.cat([layer.weight for layer in layers], dim=1)
    bias = torch.cat([layer.bias for layer in layers if layer.bias is not None])
    return replace(layers[0], weight=weight, bias=bias)
