"""From the solution of the convex program back to an ordinary network (theory.md section 6)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.dictionary import Dictionary
from convexsnn.network import Branch, Hidden, Layer, Network
from convexsnn.simulation import Counts


@isolated
def reconstruct(hidden: Hidden, dictionary: Dictionary, W: Tensor, silent: Counts | None = None) -> Network:
    """The network that computes D @ W: only the neurons that the weights need.

    Equal columns are merged on the first neuron that gives them; last-layer neurons without weight, neurons that feed
    nothing and branches without weight are dropped. The result computes the same function as the witnesses with
    weights W, on every input.

    Parameters
    ----------
    hidden : Hidden
        The witnesses that gave `dictionary`.
    dictionary : Dictionary
    W : float64 tensor of shape (P, C)
    silent : Counts, optional
        Spike counts of a simulation of `hidden` (`Simulation.counts`). When given, hidden neurons that never spiked in
        it are dropped too: the function is then the same on those sequences, not on every input.

    References
    ----------
    arXiv 2605.08022, parameter reconstruction.
    """
    return cut_down(hidden, dictionary.to_neurons(W), silent)


@isolated
def cut_down(hidden: Hidden, W: Tensor, silent: Counts | None = None) -> Network:
    """The network of `hidden` and output weights W (P_last, C), cut down to the neurons that these need.

    `silent` is as of `reconstruct`.
    """
    weights = W.unflatten(0, (-1, hidden.readout.parts))
    kept, neurons = keep_neurons(hidden, weights.any(dim=2).any(dim=1), silent)
    return Network(kept, weights[neurons].flatten(end_dim=1))


@isolated
def keep_neurons(hidden: Hidden, read: Tensor, silent: Counts | None = None) -> tuple[Hidden, Tensor]:
    """`hidden` cut down to the last-layer neurons that `read` names and the neurons on which these depend.

    Parameters
    ----------
    hidden : Hidden
    read : bool tensor of shape (neurons of the last layers,)
    silent : Counts, optional
        As in `reconstruct`.

    Returns
    -------
    Hidden
    neurons : int64 tensor
        Which of the last-layer neurons are left: those read, and those that reach them by recurrent weights.
    """
    branches, neurons, start = [], [read.new_zeros(0, dtype=torch.int64)], 0
    for k, branch in enumerate(hidden.branches):
        wanted = read[start : start + branch.last.m]
        if bool(wanted.any()):
            kept = _needed(branch, wanted, None if silent is None else silent[k])
            branches.append(_cut(branch, kept))
            neurons.append(start + kept[-1])
        start += branch.last.m
    return replace(hidden, branches=tuple(branches)), torch.cat(neurons)


def _needed(branch: Branch, read: Tensor, counts: tuple[Tensor, ...] | None) -> list[Tensor]:
    """Indices of the neurons of each layer on which the neurons `read` (bool mask of the last layer) depend."""
    kept, wanted = [], read
    for i in reversed(range(len(branch.layers))):
        layer = branch.layers[i]
        alive = torch.ones_like(wanted) if counts is None or layer is branch.last else counts[i] > 0
        wanted = _with_recurrence(layer, wanted & alive, alive)
        kept.append(torch.nonzero(wanted).flatten())
        wanted = layer.feeds[:, wanted].any(dim=1)
    return kept[::-1]


def _with_recurrence(layer: Layer, wanted: Tensor, alive: Tensor) -> Tensor:
    """`wanted` and all the neurons of the same layer that reach it through recurrent weights."""
    if layer.recurrent is None:
        return wanted
    feeds = layer.recurrent != 0
    while True:
        grown = wanted | (feeds[:, wanted].any(dim=1) & alive)
        if bool((grown == wanted).all()):
            return wanted
        wanted = grown


def _cut(branch: Branch, kept: list[Tensor]) -> Branch:
    below = torch.arange(branch.layers[0].n_in, device=branch.last.weight.device)
    layers = []
    for layer, index in zip(branch.layers, kept, strict=True):
        if len(index) == 0:
            continue  # nothing above needs this layer, nor those below it
        if not layers and layer is not branch.layers[0]:
            layer = replace(layer, weight=layer.weight.new_zeros(len(below) * len(layer.delays), layer.m))
        layers.append(layer.take(below, index))
        below = index
    bias = None if branch.readout_bias is None else branch.readout_bias[kept[-1]]
    return Branch(tuple(layers), bias)
