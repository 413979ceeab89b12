"""The always-firing neuron: an intercept as an ordinary column of the dictionary."""

from __future__ import annotations

from dataclasses import replace

import torch

from convexsnn.network import Branch, Hidden, Layer
from convexsnn.neurons import lif


def with_constant(hidden: Hidden) -> Hidden:
    """`hidden` with one more branch, of one neuron that reads 1 at every step whatever the input.

    Its weight is the intercept, penalised like every other (theory.md section 2).
    """
    # leak 0, no reset, bias 1 = threshold: v = 1 at every step, so spike, membrane and analog readouts all give 1.
    layer = Layer(
        weight=torch.zeros(hidden.n_features, 1, dtype=hidden.dtype),
        neuron=lif(1, 0.0, 1.0, "none", hidden.dtype),
        bias=torch.ones(1, dtype=hidden.dtype),
    )
    return replace(hidden, branches=(*hidden.branches, Branch((layer.to(hidden.device),))))


def without_constant(hidden: Hidden) -> Hidden:
    """Inverse of `with_constant`."""
    if not hidden.branches:
        raise ValueError("there is no branch of an always-firing neuron to leave out")
    return replace(hidden, branches=hidden.branches[:-1])
