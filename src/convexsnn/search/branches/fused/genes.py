"""Branches as compiled code wants them: one row of numbers for each weight's source, padded to whole vectors."""

from __future__ import annotations

from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.lanes import BYTES, lanes_of
from convexsnn.neurons import Reset
from convexsnn.readouts import Membrane
from convexsnn.search.branches.fused.kernel import GROUP, THRESHOLD, Genes
from convexsnn.search.branches.population import Population, StackedLayer


def vectors_of(population: Population) -> int:
    """Vectors that the neurons of the widest layer fill."""
    return -(-population.widest // lanes_of(population.layers[0].weight.itemsize))


def genes_of(population: Population) -> Genes:
    """A population in the form that compiled code takes."""
    lanes = lanes_of(population.layers[0].weight.itemsize)
    numbers, layers = rows_of(population, lanes)
    _, vectors, rows, _ = numbers.shape
    sizes = np.array([vectors, rows, lanes, -(-population.widest // GROUP)])
    return Genes(aligned(numbers), np.array(layers), sizes, isinstance(population.readout, Membrane))


def rows_of(population: Population, lanes: int) -> tuple[Tensor, list[tuple[int, int, int, int]]]:
    """All layers' rows for vectors of `lanes` neurons, and where each layer's are.

    Returns
    -------
    float tensor of shape (B, V, R, lanes)
        Where the population is.
    list of L tuples of 4 int
        As in `Genes`.
    """
    vectors, parts, layers, row = -(-population.widest // lanes), [], [], 0
    for layer in population.layers:
        n_in = layer.weight.shape[1]
        recurrent = _echo(layer, population.reset)
        n_back = 0 if recurrent is None else recurrent.shape[1]
        layers.append((row, n_in, row + n_in if n_back else -1, row + n_in + n_back))
        rows = [layer.weight, *([] if recurrent is None else [recurrent]), _settings(layer, population.reset)]
        part = torch.cat(rows, dim=1)
        padded = part.new_zeros(*part.shape[:2], vectors * lanes)
        padded[:, :, : part.shape[2]] = part
        # Lanes without a neuron never fire.
        padded[:, n_in + n_back + THRESHOLD, part.shape[2] :] = torch.inf
        parts.append(padded)
        row += part.shape[1]
    return torch.cat(parts, dim=1).unflatten(2, (vectors, lanes)).transpose(1, 2), layers


def _echo(layer: StackedLayer, reset: Reset) -> Tensor | None:
    """What a spike adds one step later, (B, m, m); a delayed reset is a neuron's own inhibition."""
    if reset != "delayed":
        return layer.recurrent
    own = torch.diag_embed(layer.threshold)
    return -own if layer.recurrent is None else layer.recurrent - own


def _settings(layer: StackedLayer, reset: Reset) -> Tensor:
    """Bias, leak, threshold, what a spike leaves of the potential and adds to it, and what rest carries: (B, 6, m)."""
    threshold, zero = layer.threshold, torch.zeros_like(layer.threshold)
    bias = zero if layer.bias is None else layer.bias
    kept, added, rest = torch.ones_like(zero), zero, bias
    match reset:
        case "soft":
            added = -threshold
        case "hard":
            kept = zero
        case "delayed":
            # A membrane of zero is already beyond a threshold that is not positive.
            rest = bias - threshold.clamp(max=0.0)
        case "none":
            pass
        case _:
            assert_never(reset)
    return torch.stack([bias, layer.leak, threshold, kept, added, rest], dim=1)


def aligned(tensor: Tensor) -> NDArray:
    """The numbers of a tensor laid flat, from a multiple of a vector's bytes on."""
    array = room(tensor.numel(), tensor.dtype)
    array.reshape(tensor.shape)[...] = tensor.numpy()
    return array


def room(count: int, dtype: torch.dtype) -> NDArray:
    """Zeros, from a multiple of a vector's bytes on."""
    raw = np.zeros(count * dtype.itemsize + BYTES, np.uint8)
    begin = -raw.ctypes.data % BYTES
    return raw[begin : begin + count * dtype.itemsize].view(torch.zeros(0, dtype=dtype).numpy().dtype)
