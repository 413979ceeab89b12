"""The same spikes with wider margins: every neuron trained anew as a support vector machine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.network import Branch, Hidden, Layer, Network, without_delays
from convexsnn.reconstruction.kinds import as_lif, reads_membrane
from convexsnn.reconstruction.patterns import neuron_rows
from convexsnn.reconstruction.separation import separate
from convexsnn.reconstruction.traces import (
    BranchTrace,
    differing,
    distinct_sequences,
    pattern_of,
    trace,
    vector_of,
    with_vectors,
)
from convexsnn.sequences import Sequences
from convexsnn.simulation import check_features


@dataclass(frozen=True, eq=False)
class Widened:
    """The outcome of `widen_margins`.

    Attributes
    ----------
    network : Network
        The new network. On the sequences every neuron has the same spikes as before.
    before, after : float64 array of shape (hidden neurons,)
        Margin of each neuron, branch by branch, layer by layer: the least |v - theta| over all steps and sequences
        (and |v| where the membrane is read), over the norm of weights, bias and threshold together. The scale of a
        neuron, which changes no spike, does not change it.
    kept : int
        Neurons that were left as they were: no wider margin was found.
    """

    network: Network
    before: np.ndarray
    after: np.ndarray
    kept: int


@isolated
def widen_margins(network: Network, sequences: Sequences) -> Widened:
    """Give every hidden neuron the weights of widest margin among those with its spikes on `sequences`.

    The network then answers these sequences as before, and bears larger changes of its weights, by quantisation or by
    other hardware. On other sequences it may answer otherwise.

    Parameters
    ----------
    network : Network
        The network, on the CPU.
    sequences : Sequences
        The training sequences.

    Raises
    ------
    ValueError
        When neurons are not LIF or threshold units, when the readout passes on more than spikes, such as the analog
        one, or when the sequences have other features.
    """
    check_bits(network.hidden, sequences)
    traced = trace(network.hidden, distinct_sequences(sequences))
    before, after, kept, branches = [], [], 0, []
    for branch in traced:
        layers = []
        for i in range(len(branch.layers)):
            layer, own_before, own_after, own_kept = _widen_layer(branch, i, reads_membrane(network.hidden))
            layers.append(layer)
            before.append(own_before)
            after.append(own_after)
            kept += own_kept
        branches.append(Branch(tuple(layers), branch.branch.readout_bias))
    widened = replace(network, hidden=replace(network.hidden, branches=tuple(branches)))
    empty = np.zeros(0)
    return Widened(widened, np.concatenate([empty, *before]), np.concatenate([empty, *after]), kept)


def check_bits(hidden: Hidden, sequences: Sequences) -> None:
    """Raise ValueError unless LIF neurons or threshold units pass on spikes at once, of sequences that fit them."""
    check_features(hidden, sequences)
    reads_membrane(hidden)
    for layer in hidden.layers():
        as_lif(without_delays(layer, "this search for weights").neuron)


def _widen_layer(branch: BranchTrace, i: int, membrane: bool) -> tuple[Layer, np.ndarray, np.ndarray, int]:
    layer, pattern = branch.layers[i].layer, pattern_of(branch, i, membrane=membrane)
    bias = branch.branch.readout_bias
    before, after, vectors = np.zeros(layer.m), np.zeros(layer.m), {}
    for j in range(layer.m):
        own = vector_of(layer, j)
        rows = pattern.examples(j).signed()
        before[j] = after[j] = relative_margin(rows, own)
        if is_fixed(branch, i, bias, membrane):
            continue
        wider = widest(pattern, j, own)
        if wider is not None and relative_margin(rows, wider) > before[j]:
            vectors[j], after[j] = wider, relative_margin(rows, wider)
    changed = with_vectors(layer, vectors)
    for j in np.flatnonzero(differing(changed, branch, i, bias, membrane=membrane).numpy()).tolist():
        # Within rounding after all.
        vectors.pop(j, None)
        after[j] = before[j]
    return with_vectors(layer, vectors), before, after, layer.m - len(vectors)


def is_fixed(branch: BranchTrace, i: int, readout_bias: Tensor | None, membrane: bool) -> bool:
    """Whether the neurons of layer i cannot be scaled: their membranes are compared with a bias of the readout."""
    return membrane and readout_bias is not None and i == len(branch.layers) - 1


def widest(pattern, j: int, own: np.ndarray) -> np.ndarray | None:
    """The weights of widest margin of neuron j, at the scale of its `own`; None when rounding hides them."""
    try:
        found = separate(neuron_rows(pattern, j)).weights
    except ValueError:
        return None
    return None if found is None else found * (np.linalg.norm(own) or 1.0)


def relative_margin(rows: np.ndarray, weights: np.ndarray) -> float:
    """The least rows @ weights over |weights|: negative or zero where a spike would be wrong or a tie."""
    if len(rows) == 0:
        return float("inf")
    return float((rows @ weights).min() / max(np.linalg.norm(weights), 1e-300))
