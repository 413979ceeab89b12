"""Spikes of every neuron at every step, layer by layer, and whether a changed layer still gives them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from convexsnn.network import Branch, Hidden, Layer
from convexsnn.reconstruction.kinds import as_lif
from convexsnn.reconstruction.regressors import LayerPattern, distinct_prefixes
from convexsnn.sequences import Sequences
from convexsnn.simulation import initial_state, read, step


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """One layer on sequences.

    Attributes
    ----------
    layer : Layer
    below : float tensor of shape (n, T, n_in)
    spikes : float tensor of shape (n, T, m)
    """

    layer: Layer
    below: Tensor
    spikes: Tensor


@dataclass(frozen=True, eq=False)
class BranchTrace:
    """All layers of a branch, and what is read of the last; `read` is (n, T, m) of 0 and 1, NaN at steps not read."""

    branch: Branch
    layers: tuple[LayerTrace, ...]
    read: Tensor
    lengths: Tensor


def distinct_sequences(sequences: Sequences) -> Sequences:
    """Each different sequence once."""
    keys = torch.cat([sequences.values.flatten(start_dim=1), sequences.lengths.unsqueeze(1).double()], dim=1)
    _, first = np.unique(keys.numpy(), axis=0, return_index=True)
    return sequences.take(torch.from_numpy(np.sort(first)))


@torch.no_grad()
def trace(hidden: Hidden, sequences: Sequences) -> tuple[BranchTrace, ...]:
    """Run every branch and keep everything; padding is run too, and is to be ignored by `lengths`."""
    values, lengths = sequences.values.to(hidden.dtype), sequences.lengths
    return tuple(_trace_branch(hidden, branch, values, lengths) for branch in hidden.branches)


def _trace_branch(hidden: Hidden, branch: Branch, values: Tensor, lengths: Tensor) -> BranchTrace:
    alone = replace(hidden, branches=(branch,))
    state, spikes, features = initial_state(alone, len(values)), [], []
    for t in range(values.shape[1]):
        state = step(alone, values[:, t], state).state
        spikes.append([layer_state.spikes for layer_state in state.branches[0].layers])
        features.append(read(alone, state)[0].double())
    stacked = [torch.stack(per_layer, dim=1) for per_layer in zip(*spikes, strict=True)]
    shown, at = torch.stack(features, dim=1), torch.arange(values.shape[1])
    seen = (at < lengths.unsqueeze(1)) if hidden.every_step else (at == lengths.unsqueeze(1) - 1)
    layers = tuple(
        LayerTrace(layer, below, own)
        for layer, below, own in zip(branch.layers, [values, *stacked[:-1]], stacked, strict=True)
    )
    return BranchTrace(branch, layers, shown.where(seen.unsqueeze(2), torch.nan), lengths)


def pattern_of(traced: BranchTrace, i: int, *, membrane: bool) -> LayerPattern:
    """What layer i of a branch must do again; with `membrane` the read of the last layer is part of it."""
    here = traced.layers[i]
    below, spikes = here.below.double().numpy(), here.spikes.double().numpy()
    last = membrane and i == len(traced.layers) - 1
    seen = traced.read.numpy() if last else None
    keys = spikes if seen is None else np.concatenate([spikes, np.nan_to_num(seen, nan=-1.0)], axis=2)
    counted = distinct_prefixes(below, keys, traced.lengths.numpy())
    layer = here.layer
    return LayerPattern(below, spikes, counted, layer.neuron, layer.recurrent is not None, layer.bias is not None, seen)


@torch.no_grad()
def differing(layer: Layer, traced: BranchTrace, i: int, readout_bias: Tensor | None, *, membrane: bool) -> Tensor:
    """Which neurons of a changed layer i differ from the trace, at any step: bool (m,)."""
    here, dtype = traced.layers[i], layer.weight.dtype
    zeros = torch.zeros_like(here.spikes[:, 0])
    state = layer.neuron.initial_state(zeros)
    wrong = torch.zeros(layer.m, dtype=torch.bool)
    last = membrane and i == len(traced.layers) - 1
    for t in range(here.spikes.shape[1]):
        alive = (traced.lengths > t).unsqueeze(1)
        current = here.below[:, t] @ layer.weight
        if layer.recurrent is not None:
            # The wanted spikes: as long as no neuron differs, they are the layer's own.
            current = current + (here.spikes[:, t - 1] if t else zeros) @ layer.recurrent
        if layer.bias is not None:
            current = current + layer.bias
        fired = layer.neuron.step(current, state)
        wrong |= ((fired.spikes.to(dtype) != here.spikes[:, t]) & alive).any(dim=0)
        if last:
            shown = fired.membrane if readout_bias is None else fired.membrane - readout_bias
            wanted = traced.read[:, t]
            wrong |= ((shown >= 0).double() != wanted).logical_and(~wanted.isnan()).any(dim=0)
        state = fired.state
    return wrong


def vector_of(layer: Layer, j: int) -> np.ndarray:
    """The weights of neuron j in the order of its regressors: from below, recurrent, bias, threshold."""
    parts = [layer.weight[:, j]]
    if layer.recurrent is not None:
        parts.append(layer.recurrent[:, j])
    if layer.bias is not None:
        parts.append(layer.bias[j : j + 1])
    if (lif := as_lif(layer.neuron)) is not None:
        parts.append(lif.threshold[j : j + 1])
    return torch.cat(parts).double().numpy()


def with_vectors(layer: Layer, vectors: dict[int, np.ndarray]) -> Layer:
    """The layer with other weights, and thresholds, of some neurons."""
    if not vectors:
        return layer
    index = torch.tensor(list(vectors))
    table = torch.from_numpy(np.column_stack(list(vectors.values()))).to(layer.weight.dtype)
    weight, start = layer.weight.clone(), layer.n_in
    weight[:, index] = table[:start]
    changes: dict = {"weight": weight}
    if layer.recurrent is not None:
        changes["recurrent"] = layer.recurrent.clone()
        changes["recurrent"][:, index] = table[start : start + layer.m]
        start += layer.m
    if layer.bias is not None:
        changes["bias"] = layer.bias.clone()
        changes["bias"][index] = table[start]
        start += 1
    if (lif := as_lif(layer.neuron)) is not None:
        threshold = lif.threshold.clone()
        threshold[index] = table[start]
        changes["neuron"] = replace(lif, threshold=threshold)
    return replace(layer, **changes)
