"""Weights for spike patterns: one support vector machine a neuron, jointly over all time steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.network import Branch, Layer
from convexsnn.neurons import Neuron
from convexsnn.rationals import Integers, as_fractions
from convexsnn.reconstruction.kinds import as_lif, threshold_of
from convexsnn.reconstruction.regressors import LayerPattern, distinct_prefixes
from convexsnn.reconstruction.separation import Separation, separate
from convexsnn.reconstruction.traces import BranchTrace, LayerTrace, differing


@dataclass(frozen=True, eq=False)
class Realised:
    """The outcome of `realise`.

    Attributes
    ----------
    layer : Layer or None
        A layer that gives the spikes, checked by running it; None when one of its neurons cannot.
    neurons : tuple of Separation
        Of each neuron: its widest margin, or the proof that there is none. The rows of a proof are those of
        `LayerPattern.examples`.
    pattern : LayerPattern
    lost : tuple of int
        Neurons that have weights, whose margin is so small that the layer's own arithmetic gives other spikes.
    """

    layer: Layer | None
    neurons: tuple[Separation, ...]
    pattern: LayerPattern
    lost: tuple[int, ...] = ()

    @property
    def realisable(self) -> bool:
        """Whether every neuron has weights that give its spikes in the layer's own arithmetic."""
        return self.layer is not None

    @property
    def refused(self) -> tuple[int, ...]:
        """The neurons that have none."""
        return tuple(j for j, neuron in enumerate(self.neurons) if not neuron.separable)


@isolated
def realise(
    below: Tensor,
    spikes: Tensor,
    neuron: Neuron,
    *,
    recurrent: bool = False,
    bias: bool = False,
    lengths: Tensor | None = None,
) -> Realised:
    """Weights, shared across time, with which a layer answers `below` with `spikes`; or a proof that there are none.

    Given all spikes, the potential of each neuron is linear in its weights, bias and threshold (theory.md sections 1
    and 6), so each neuron is one linear classification over all steps of all sequences.

    Parameters
    ----------
    below : float tensor of shape (n, T, n_in)
        Spikes of the layer below, or the input.
    spikes : bool tensor of shape (n, T, m)
        The spikes that the neurons shall have.
    neuron : LIF or Threshold
        Kind, reset, leaks and thresholds of the m neurons. Weights and threshold may be scaled together, so that any
        positive threshold is as good as any other; the layer has those given.
    recurrent, bias : bool
        Whether the layer has recurrent weights, and biases.
    lengths : int64 tensor of shape (n,), optional
        Steps of each sequence; None is T.

    Returns
    -------
    Realised
        The margin of each neuron is that of weights, bias and threshold together of norm one. A margin of zero (ties)
        does not count as realisable.

    Raises
    ------
    ValueError
        When the kind of neurons is another, or shapes do not fit one another.
    """
    n, T = below.shape[:2] if below.ndim == 3 else (-1, -1)
    if spikes.ndim != 3 or tuple(spikes.shape[:2]) != (n, T):
        raise ValueError(
            f"below and spikes must have shapes (n, T, n_in) and (n, T, m), got {tuple(below.shape)} and "
            f"{tuple(spikes.shape)}"
        )
    lif = as_lif(neuron)
    if lif is not None and len(lif.leak) != spikes.shape[2]:
        raise ValueError(f"neuron holds {len(lif.leak)} leaks, but spikes are those of {spikes.shape[2]} neurons")
    steps = np.full(n, T) if lengths is None else lengths.cpu().numpy()
    if steps.shape != (n,) or (n and not 1 <= steps.min() <= steps.max() <= T):
        raise ValueError(f"lengths must be {n} integers between 1 and {T}")
    inputs, fired = (t.detach().cpu().to(torch.float64).numpy() for t in (below, spikes))
    counted = distinct_prefixes(inputs, fired, steps)
    pattern = LayerPattern(inputs, fired, counted, neuron, recurrent, bias)
    neurons = tuple(separate(neuron_rows(pattern, j), partial(exact_rows, pattern, j)) for j in range(spikes.shape[2]))
    layer = None
    if all(separation.separable for separation in neurons):
        layer = layer_of(pattern, [separation.weights for separation in neurons], below.dtype)  # type: ignore[misc]
    wrong = () if layer is None else _wrong(layer, below.detach().cpu(), spikes.detach().cpu(), torch.from_numpy(steps))
    return Realised(None if wrong else layer, neurons, pattern, wrong)


def _wrong(layer: Layer, below: Tensor, spikes: Tensor, lengths: Tensor) -> tuple[int, ...]:
    """Neurons of a layer that differ from the wanted spikes when it is run."""
    traced = LayerTrace(layer, below, spikes.to(below.dtype))
    alone = BranchTrace(Branch((layer,)), (traced,), torch.full(spikes.shape, torch.nan), lengths)
    return tuple(torch.nonzero(differing(layer, alone, 0, None, membrane=False)).flatten().tolist())


def exact_signed(pattern: LayerPattern, j: int, index: NDArray[np.int64]) -> Integers:
    """Some signed examples of neuron j without rounding: Fractions of shape (len(index), p)."""
    rows = pattern.exact_examples(j, index)
    return np.where(pattern.examples(j).fires[index, None], rows, -rows)


def exact_rows(pattern: LayerPattern, j: int, index: NDArray[np.int64]) -> Integers:
    """Some of `neuron_rows` without rounding: Fractions of shape (len(index), p)."""
    rounded = neuron_rows(pattern, j)
    exact = as_fractions(rounded[index])  # that of the threshold's sign is as it is
    own = index < len(pattern.examples(j).fires)
    exact[own] = exact_signed(pattern, j, index[own])
    if threshold_of(pattern.neuron, j) == 0.0:
        exact[:, -1] = 0
    return exact


def neuron_rows(pattern: LayerPattern, j: int) -> np.ndarray:
    """The signed rows of neuron j, and one that asks for the sign of its threshold."""
    rows = pattern.examples(j).signed()
    theta = threshold_of(pattern.neuron, j)
    if theta is None:
        return rows
    if theta == 0.0:
        rows = rows.copy()
        rows[:, -1] = 0.0
        return rows
    # So long that it asks for next to no size, only for the sign.
    sign_row = np.zeros((1, rows.shape[1]))
    sign_row[0, -1] = np.copysign(10.0 * max(1.0, np.abs(rows).max(initial=0.0)), theta)
    return np.concatenate([rows, sign_row])


def layer_of(pattern: LayerPattern, weights: list[np.ndarray], dtype: torch.dtype) -> Layer:
    """The layer with these weights (p,) a neuron, each scaled to the neuron's own threshold."""
    scaled = []
    for j, u in enumerate(weights):
        theta = threshold_of(pattern.neuron, j)
        scaled.append(u * (theta / u[-1]) if theta and u[-1] else u)
    table = torch.from_numpy(np.column_stack(scaled)).to(dtype)
    n_in, m = pattern.below.shape[2], len(weights)
    end = n_in + (m if pattern.recurrent else 0)
    return Layer(
        table[:n_in],
        pattern.neuron,
        table[n_in:end] if pattern.recurrent else None,
        table[end] if pattern.bias else None,
    )
