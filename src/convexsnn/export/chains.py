"""Parallel branches of one kind as a single branch with block-diagonal weights: one layer in place of many.

The spikes are the same, as the joined weights are zero between branches.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.network import Branch, Hidden, Layer, Network

Alike = Callable[[Layer], Hashable]
"""From a layer to what else must be equal where layers are joined."""


class Chain(NamedTuple):
    """Branches of a network side by side, as one.

    Attributes
    ----------
    branch : Branch
    W : float64 tensor of shape (P_last, C)
        The output weights of its last layer.
    numbers : tuple of int
        The branches of the network that it holds, in this order.
    blocks : tuple of tuple of int
        For each layer, how many neurons of it are of each of these branches.
    """

    branch: Branch
    W: Tensor
    numbers: tuple[int, ...]
    blocks: tuple[tuple[int, ...], ...]


def chains_of(network: Network, *, alike: Alike = lambda layer: None, widest: int | None = None) -> list[Chain]:  # noqa: ARG005
    """The branches of a network, with those joined that differ in numbers only.

    These have the same depth and, layer by layer, the same kind of neurons with the same settings, the same delays,
    and both or neither of recurrent weights and biases.

    Parameters
    ----------
    network : Network
    alike : callable
        What else must be equal of two layers that are joined.
    widest : int, optional
        Where joining makes blocks, no joined layer has more neurons, unless a single branch has.
    """
    sizes = [network.hidden.readout.parts * branch.last.m for branch in network.hidden.branches]
    weights = network.W.split(sizes)
    groups: dict[Hashable, list[int]] = {}
    for number, branch in enumerate(network.hidden.branches):
        kind = branch.readout_bias is None, *((_kind(layer), alike(layer)) for layer in branch.layers)
        groups.setdefault(kind, []).append(number)
    runs = (run for numbers in groups.values() for run in _runs(network.hidden, numbers, widest))
    return [_chain(network.hidden, numbers, torch.cat([weights[k] for k in numbers])) for numbers in runs]


def blocks_of(rows: tuple[int, ...], columns: tuple[int, ...], delays: int = 1) -> Tensor | None:
    """Where a joined weight of shape (delays * rows, columns) may be other than zero; None if everywhere."""
    if len(rows) == 1:
        return None
    ones = [torch.ones(n, m, dtype=torch.bool) for n, m in zip(rows, columns, strict=True)]
    return torch.block_diag(*ones).repeat(delays, 1)


def unjoined(branch: Branch, blocks: tuple[tuple[int, ...], ...]) -> list[Branch]:
    """The branches that were joined."""
    places = [torch.arange(sum(sizes)).split(list(sizes)) for sizes in blocks]
    inputs = torch.arange(branch.layers[0].n_in)
    found = []
    for own in zip(*places, strict=True):
        below = (inputs, *own[:-1])
        layers = tuple(la.take(feeds, index) for la, feeds, index in zip(branch.layers, below, own, strict=True))
        found.append(Branch(layers, None if branch.readout_bias is None else branch.readout_bias[own[-1]]))
    return found


def _kind(layer: Layer) -> Hashable:
    neuron = layer.neuron
    return type(neuron), repr(neuron.settings()), layer.delays, layer.recurrent is None, layer.bias is None


def _runs(hidden: Hidden, numbers: list[int], widest: int | None) -> Iterator[list[int]]:
    """The branches of one kind, in their order, in runs that are not too wide."""
    run, widths = [], torch.zeros(len(hidden.branches[numbers[0]].layers), dtype=torch.int64)
    for number in numbers:
        layers = hidden.branches[number].layers
        own = torch.tensor([layer.m for layer in layers])
        has_blocks = len(layers) > 1 or any(layer.recurrent is not None for layer in layers)
        if run and widest is not None and has_blocks and int((widths + own).max()) > widest:
            yield run
            run, widths = [], torch.zeros_like(widths)
        run, widths = [*run, number], widths + own
    yield run


def _chain(hidden: Hidden, numbers: list[int], W: Tensor) -> Chain:
    branches = [hidden.branches[number] for number in numbers]
    stacks = list(zip(*(branch.layers for branch in branches), strict=True))
    blocks = tuple(tuple(layer.m for layer in layers) for layers in stacks)
    if len(branches) == 1:
        return Chain(branches[0], W, tuple(numbers), blocks)
    biases = [branch.readout_bias for branch in branches if branch.readout_bias is not None]
    joined = tuple(_join(layers, first=i == 0) for i, layers in enumerate(stacks))
    return Chain(Branch(joined, torch.cat(biases) if biases else None), W, tuple(numbers), blocks)


def _join(layers: tuple[Layer, ...], *, first: bool) -> Layer:
    """Layers side by side; the first layers of branches share their input."""
    one = layers[0]
    tensors = [layer.neuron.tensors() for layer in layers]
    neuron = type(one.neuron).rebuild(
        one.neuron.settings(), {name: torch.cat([own[name] for own in tensors]) for name in tensors[0]}
    )
    # A weight for each delay, (delays, n_in, m).
    weights = [layer.weight.view(len(layer.delays), layer.n_in, layer.m) for layer in layers]
    side_by_side = [torch.cat(same, dim=1) if first else torch.block_diag(*same) for same in zip(*weights, strict=True)]
    recurrent = [layer.recurrent for layer in layers if layer.recurrent is not None]
    biases = [layer.bias for layer in layers if layer.bias is not None]
    return replace(
        one,
        weight=torch.cat(side_by_side),
        neuron=neuron,
        recurrent=torch.block_diag(*recurrent) if recurrent else None,
        bias=torch.cat(biases) if biases else None,
    )
