"""Layers whose neurons keep nothing from one step to the next, run over all steps at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.network import Hidden, Layer, delayed
from convexsnn.neurons import Threshold
from convexsnn.readouts import Accumulated

# Floats of what is seen, or of currents, held at a time.
BLOCK_FLOATS = 2**22


class WholeRun(NamedTuple):
    """What a layer did over sequences of up to T steps.

    Attributes
    ----------
    accumulated : Accumulated
        What the readout has accumulated at the end of each sequence.
    spikes, membrane : float tensors of shape (n, m)
        Spikes and membranes of the last step of each sequence.
    past : tuple of float tensors of shape (n, n_in)
        What the layer was shown at the last steps, the last first: as many as its longest delay.
    counts : int64 tensor of shape (m,)
    margin : float tensor of shape ()
        Smallest distance of a potential from its threshold.
    """

    accumulated: Accumulated
    spikes: Tensor
    membrane: Tensor
    past: tuple[Tensor, ...]
    counts: Tensor
    margin: Tensor


def runs_whole(hidden: Hidden) -> bool:
    """Whether `run_whole` gives all that is read of a network: single layers without memory, read at the last step."""
    return (
        not hidden.every_step
        and hidden.readout.after(torch.zeros(0, 1, 1), torch.zeros(0, dtype=torch.int64)) is not None
        and all(
            len(branch.layers) == 1 and isinstance(branch.last.neuron, Threshold) and branch.last.recurrent is None
            for branch in hidden.branches
        )
    )


def run_whole(hidden: Hidden, layer: Layer, values: Tensor, lengths: Tensor) -> WholeRun:
    """Run such a layer over values (n, T, n_in), of which the first `lengths` steps (n,) of each sequence count."""
    n, T, width = len(values), values.shape[1], max(layer.m, len(layer.weight))
    size = max(1, BLOCK_FLOATS // (T * width))
    parts = [
        _run_block(hidden, layer, values[start : start + size], lengths[start : start + size])
        for start in range(0, n, size)
    ]
    join = lambda tensors: torch.cat(list(tensors))  # noqa: E731
    accumulated, spikes, membrane, past, counts, margins = zip(*parts, strict=True)
    return WholeRun(
        tuple(map(join, zip(*accumulated, strict=True))),
        join(spikes),
        join(membrane),
        tuple(map(join, zip(*past, strict=True))),
        torch.stack(counts).sum(dim=0),
        torch.stack(margins).amin(),
    )


def _run_block(hidden: Hidden, layer: Layer, values: Tensor, lengths: Tensor) -> WholeRun:
    seen = delayed(values, layer.delays, time=1)
    current = (seen.flatten(end_dim=1) @ layer.weight).unflatten(0, values.shape[:2])
    if layer.bias is not None:
        current += layer.bias
    fired = layer.neuron.step(current, ())
    shown = torch.arange(values.shape[1], device=lengths.device) < lengths.unsqueeze(1)
    whole = bool(shown.all())
    spikes = fired.spikes if whole else fired.spikes & shown.unsqueeze(2)
    distance = fired.distance if whole else fired.distance[shown]
    accumulated = hidden.readout.after(spikes, lengths)
    assert accumulated is not None
    accumulated = tuple(tensor.to(hidden.dtype) for tensor in accumulated)
    rows, last = torch.arange(len(values), device=lengths.device), lengths - 1
    before = [last - k for k in range(layer.delays[-1])]
    past = tuple(torch.where((t >= 0).unsqueeze(1), values[rows, t.clamp(min=0)], 0.0) for t in before)
    ends, membrane = spikes[rows, last].to(hidden.dtype), fired.membrane[rows, last]
    return WholeRun(accumulated, ends, membrane, past, spikes.sum(dim=(0, 1)), distance.abs().amin())
