"""The always-firing neuron: an intercept as an ordinary column of the dictionary."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.network import Branch, Hidden, Layer, Network
from convexsnn.neurons import lif
from convexsnn.sequences import Sequences
from convexsnn.simulation import simulate


@isolated
def with_constant(hidden: Hidden) -> Hidden:
    """`hidden` with one more branch, of one neuron that reads 1 at every step whatever the input.

    Its weight is the intercept. It is penalised like every other (theory.md section 2), or free (section 7).

    Raises
    ------
    ValueError
        When no part of the network's readout reads 1 of such a neuron, as none that counts spikes does.
    """
    return _extended(hidden)[0]


def _extended(hidden: Hidden) -> tuple[Hidden, int]:
    """`hidden` with an always-firing neuron, and which output of the last layers is its 1."""
    constant = _constant(hidden)
    place = hidden.n_last + _part_of_one(hidden, constant)
    return replace(hidden, branches=(*hidden.branches, constant)), place


def _constant(hidden: Hidden) -> Branch:
    # leak 0, no reset, bias 1 = threshold: v = 1 at every step, so spike, membrane and analog readouts all give 1.
    layer = Layer(
        weight=torch.zeros(hidden.n_features, 1, dtype=hidden.dtype),
        neuron=lif(1, 0.0, 1.0, "none", hidden.dtype),
        bias=torch.ones(1, dtype=hidden.dtype),
    )
    return Branch((layer,)).to(hidden.device)


@isolated
def with_offset(network: Network, offset: Tensor) -> Network:
    """The network whose outputs are larger by `offset`, float64 of shape (C,).

    An always-firing neuron gives it: the one at the end of the network, or where there is none, one more.

    Raises
    ------
    ValueError
        As in `with_constant`.
    """
    hidden, W = network.hidden, network.W
    place = constant_place(hidden)
    if place is None:
        hidden, place = _extended(hidden)
        W = torch.cat([W, W.new_zeros(hidden.n_last - len(W), W.shape[1])])
    weights = W.clone()
    weights[place] += offset
    return Network(hidden, weights)


@isolated
def constant_place(hidden: Hidden) -> int | None:
    """Which output of the last layers is the 1 of an always-firing neuron at the end; None where there is none."""
    if not hidden.branches:
        return None
    bare = without_constant(hidden)
    if not replace(bare, branches=(*bare.branches, _constant(hidden))).equals(hidden):
        return None
    return bare.n_last + _part_of_one(bare, hidden.branches[-1])


def _part_of_one(hidden: Hidden, constant: Branch) -> int:
    """The part of the readout that reads 1 of the always-firing neuron at every step; ValueError where none does."""
    alone = replace(hidden, branches=(constant,), every_step=True).to("cpu")
    steps = torch.zeros(1, 3, hidden.n_features, dtype=hidden.dtype)
    ones = (simulate(alone, Sequences(steps, torch.tensor([3]))).features == 1).all(dim=0)
    if not bool(ones.any()):
        raise ValueError(
            f"an intercept is a neuron that always fires, but the readout {str(hidden.readout)!r} does not read "
            "the number 1 of it at every step: leave the intercept out"
        )
    return int(ones.nonzero()[0])


@isolated
def without_constant(hidden: Hidden) -> Hidden:
    """Inverse of `with_constant`."""
    if not hidden.branches:
        raise ValueError("there is no branch of an always-firing neuron to leave out")
    return replace(hidden, branches=hidden.branches[:-1])
