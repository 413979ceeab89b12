"""How often kernels fire, for many of them at once."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.network import Hidden, delayed
from convexsnn.sequences import Sequences

# Floats of what is seen, or of potentials, held at a time.
BLOCK_FLOATS = 2**22


def rates(hidden: Hidden, sequences: Sequences) -> Tensor:
    """The share of steps at which each kernel fires: float64 of shape (n, m).

    Parameters
    ----------
    hidden : Hidden
        Branches of one layer of threshold neurons without recurrent weights.
    sequences : Sequences
        On the CPU. They are run in float32, which is fast. A potential within rounding of its threshold may then be
        taken for one on the other side. What is trained in the end is run in the network's own arithmetic.
    """
    n, found = len(sequences), []
    sequences = sequences.to("cpu", torch.float32)
    for branch in hidden.branches:
        layer = branch.last
        assert layer.bias is not None
        weight, bias = layer.weight.to(torch.float32), layer.bias.to(torch.float32)
        size = max(1, BLOCK_FLOATS // (sequences.n_steps * max(weight.shape)))
        counts = torch.empty(n, layer.m, dtype=torch.float64)
        for start in range(0, n, size):
            some = sequences.take(slice(start, start + size))
            fired = delayed(some.values, layer.delays, time=1) @ weight + bias >= 0.0
            fired &= some.shown.unsqueeze(2)
            counts[start : start + size] = fired.sum(dim=1)
        found.append(counts)
    return torch.cat(found, dim=1) / sequences.lengths.unsqueeze(1)
