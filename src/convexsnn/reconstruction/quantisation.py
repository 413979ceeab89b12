"""Integer weights of b bits with the same spikes, spike for spike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from convexsnn.caller import isolated
from convexsnn.checks import check_integer
from convexsnn.network import Branch, Layer, Network
from convexsnn.reconstruction.kinds import reads_membrane, threshold_of
from convexsnn.reconstruction.margins import check_bits, is_fixed, widest
from convexsnn.reconstruction.patterns import exact_signed
from convexsnn.reconstruction.rounding import (
    MIXED_INTEGER_SIZE,
    RoundedNeuron,
    Rounding,
    exchange_integers,
    round_plainly,
    solve_in_integers,
)
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

# How neurons may be rounded; see `Quantised.ways`.
WAYS = ("plain", "solved", "wide", "exchanged")


@dataclass(frozen=True, eq=False)
class Quantised:
    """The outcome of `quantise`.

    Attributes
    ----------
    network : Network
        Of integer weights, recurrent weights and biases below 2**(bits - 1) in size and thresholds in fixed point, but
        for the `failed` neurons, which keep their real ones. Every neuron's spikes on the sequences are as before.
    bits : int
    failed : tuple of (int, int, int)
        Branch, layer and neuron for which no integers were found.
    excluded : tuple of (int, int, int)
        Those of the failed for which it is proved in rational arithmetic that no integers of so many bits do that.
        Nothing is known of the others.
    ways : dict of str to int
        How many neurons were rounded how: "plain" (the given weights at some scale, rounded), "solved" (branch and
        bound), "wide" (the weights of widest margin, rounded), "exchanged" (rounded, then changed one by one).
    threshold_bits : int
        Bits of the largest threshold in fixed point, with its sign.
    """

    network: Network
    bits: int
    failed: tuple[tuple[int, int, int], ...]
    excluded: tuple[tuple[int, int, int], ...]
    ways: dict[str, int]
    threshold_bits: int

    @property
    def complete(self) -> bool:
        """Whether every neuron has integer weights."""
        return not self.failed


@isolated
def quantise(
    network: Network,
    sequences: Sequences,
    bits: int = 8,
    *,
    threshold_fraction: int = 8,
    effort: int = 300,
    seed: int = 0,
) -> Quantised:
    """Integer weights of `bits` bits, sign included, with which every hidden neuron spikes as before on `sequences`.

    A neuron's spikes do not change when weights, bias and threshold are scaled together, so each neuron has a scale
    of its own and is stored at scale one.Four ways are tried, in this order:

    - rounding the weights at several scales;
    - branch and bound for neurons of few inputs, which finds integers or proves that there are none;
    - rounding the weights of widest margin (`widen_margins`);
    - changing rounded weights one by one where spikes are wrong.

    Output weights are left as they are.

    Parameters
    ----------
    network : Network
        The network, on the CPU.
    sequences : Sequences
        The training sequences.
    bits : int
        Weights have this many bits with their sign, at least 2.
    threshold_fraction : int
        Thresholds are multiples of 2**-threshold_fraction of the unit of the weights; 0 asks for integers.
    effort : int
        Exchanges, and nodes of a branch and bound, a neuron and start; 0 only rounds.
    seed : int
        The random exchanges of weights follow from this seed.

    Raises
    ------
    ValueError
        When `widen_margins` would refuse the neurons, the readout or the sequences.
    """
    check_integer("bits", bits, minimum=2, maximum=32)
    check_integer("effort", effort, minimum=0)
    check_bits(network.hidden, sequences)
    check_integer("threshold_fraction", threshold_fraction, minimum=0, maximum=32)
    rounding = Rounding(
        2 ** (bits - 1) - 1,
        2.0**-threshold_fraction,
        effort,
        np.random.default_rng(check_integer("seed", seed, minimum=0)),
    )
    branches, failed, excluded, largest = [], [], [], 0
    ways: dict[str, int] = dict.fromkeys(WAYS, 0)
    membrane = reads_membrane(network.hidden)
    for k, branch in enumerate(trace(network.hidden, distinct_sequences(sequences))):
        layers = []
        for i in range(len(branch.layers)):
            layer, found, none = _quantise_layer(branch, i, rounding, membrane)
            layers.append(layer)
            failed += [(k, i, j) for j in range(layer.m) if j not in found]
            excluded += [(k, i, j) for j in none]
            for j, way in found.items():
                ways[way] += 1
                largest = max(largest, int(abs(threshold_of(layer.neuron, j) or 0.0) / rounding.step))
        branches.append(Branch(tuple(layers), branch.branch.readout_bias))
    hidden = replace(network.hidden, branches=tuple(branches))
    return Quantised(
        replace(network, hidden=hidden), bits, tuple(failed), tuple(excluded), ways, largest.bit_length() + 1
    )


def _quantise_layer(
    branch: BranchTrace, i: int, rounding: Rounding, membrane: bool
) -> tuple[Layer, dict[int, str], list[int]]:
    """The layer with integer weights where they were found, how, and where there are none; checked by running it."""
    layer, pattern, bias = branch.layers[i].layer, pattern_of(branch, i, membrane=membrane), branch.branch.readout_bias
    vectors, found, excluded = {}, {}, []
    for j in range(layer.m) if not is_fixed(branch, i, bias, membrane) else ():
        own = vector_of(layer, j)
        sign = float(np.sign(threshold_of(layer.neuron, j) or 0.0))
        examples = pattern.examples(j)
        exact = partial(exact_signed, pattern, j)
        neuron = RoundedNeuron(examples.signed(), sign, examples.fires, exact, np.arange(len(examples.fires)))
        weights, way, none = _integers(neuron, own, lambda j=j, own=own: widest(pattern, j, own), rounding)
        if weights is not None:
            vectors[j], found[j] = weights, way
        elif none:
            excluded.append(j)
    for j in np.flatnonzero(differing(with_vectors(layer, vectors), branch, i, bias, membrane=membrane).numpy()):
        # Right in sums taken in one order, wrong in the simulator's: a tie in all but name.
        vectors.pop(int(j), None)
        found.pop(int(j), None)
    return with_vectors(layer, vectors), found, excluded


def _integers(
    neuron: RoundedNeuron, own: np.ndarray, wide: Callable[[], np.ndarray | None], rounding: Rounding
) -> tuple[np.ndarray | None, str, bool]:
    """Integers for one neuron, which of WAYS found them, and without them whether there are none."""
    rounded, starts = round_plainly(neuron, own, rounding)
    if rounded is not None or rounding.effort == 0:
        return rounded, "plain", False
    if neuron.free <= MIXED_INTEGER_SIZE:
        solved, none = solve_in_integers(neuron, own, rounding)
        if solved is not None or none:
            return solved, "solved", none
    wider = wide()
    if wider is not None:
        rounded, wide_starts = round_plainly(neuron, wider, rounding)
        if rounded is not None:
            return rounded, "wide", False
        found = exchange_integers(neuron, wider, wide_starts, rounding)
        if found is not None:
            return found, "exchanged", False
    return exchange_integers(neuron, own, starts, rounding), "exchanged", False
