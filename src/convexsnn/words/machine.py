"""A network and an automaton in float64 arrays, and one step of many boxes at once.

Nothing here proves anything: potentials are widened by more than the checker's bound of their rounding error, so that
what closes here also closes there (`convexsnn.proof.words`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.labels import decide
from convexsnn.network import Layer, Network, lif_of
from convexsnn.neurons import Reset
from convexsnn.rationals import Floats
from convexsnn.readouts import Membrane
from convexsnn.tasks import Automaton
from convexsnn.words.claim import WHO, flattened, read_layers

Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]

# Roundings here and those that are claimed: together they are bounded by so many times the claimed ones.
WIDER = 3.0
# Spike patterns of one box under one symbol, beyond which boxes are made smaller.
MOST_PATTERNS = 2**10
# A sum is taken for exact when its terms leave so many bits of the significand free.
SPARE_BITS = 3


class TooManyPatternsError(ValueError):
    """A box under a symbol has more spike patterns than are followed.

    Attributes
    ----------
    source, symbol : int
        Which box, and which symbol.
    cut : bool array of shape (N,)
        Neurons that were cut.
    """

    def __init__(self, source: int, symbol: int, cut: Flags) -> None:
        super().__init__(source, symbol, cut)
        self.source, self.symbol, self.cut = source, symbol, cut


@dataclass(frozen=True, eq=False)
class Cells:
    """A layer of m neurons.

    Attributes
    ----------
    at : slice
        Of its neurons among those of all layers.
    below : int
        The number of the layer that it reads; -1 is the input.
    weight, recurrent, bias, leak, threshold, reset
        As a `Layer` and its neurons have them; what is None there is zero here, but for `recurrent`.
    exact : bool array of shape (m,)
        Neurons whose sums do not round.
    rounding : float
        The error of a potential in units of the sum of the sizes of its terms.
    read_bias : float64 array of shape (m,), optional
        Where membranes are read.
    """

    at: slice
    below: int
    weight: Floats
    recurrent: Floats | None
    bias: Floats
    leak: Floats
    threshold: Floats
    reset: Reset
    exact: Flags
    rounding: float
    read_bias: Floats | None

    @property
    def echoing(self) -> Flags:
        """Neurons whose spikes matter for the next step, bool array of shape (m,)."""
        if self.reset == "delayed":
            return np.ones(len(self.leak), dtype=bool)
        if self.recurrent is None:
            return np.zeros(len(self.leak), dtype=bool)
        return (self.recurrent != 0).any(axis=1)


@dataclass(frozen=True, eq=False)
class BoxBatch:
    """R boxes for N neurons.

    Attributes
    ----------
    state : int64 array of shape (R,)
        Of the automaton.
    spikes : bool array of shape (R, N)
    low, high : float64 arrays of shape (R, N)
        Intervals of the membranes.
    source, symbol : int64 arrays of shape (R,)
        Which box a row comes from, under which symbol.
    cut : bool array of shape (R, N)
        Neurons whose intervals were cut on the way.
    read : bool array of shape (R, P_last)
    """

    state: Indices
    spikes: Flags
    low: Floats
    high: Floats
    source: Indices
    symbol: Indices
    cut: Flags
    read: Flags

    def __len__(self) -> int:
        return len(self.state)

    def take(self, index: Indices) -> BoxBatch:
        """The rows of these numbers, as copies."""
        return BoxBatch(*(getattr(self, own.name)[index] for own in fields(self)))

    def join(self, other: BoxBatch) -> BoxBatch:
        """These rows, then the others."""
        return BoxBatch(*(np.concatenate([getattr(self, own.name), getattr(other, own.name)]) for own in fields(self)))


@dataclass(frozen=True, eq=False)
class Machine:
    """The product of a network and an automaton.

    Attributes
    ----------
    layers : tuple of Cells
    read : tuple of int
        Numbers of the layers that are read, branch by branch.
    W : float64 tensor of shape (P_last, C)
    symbols : float64 array of shape (A, d)
    transitions, answers : int64 arrays of shape (Q, A)
        -1 where there is none.
    start : int
    """

    layers: tuple[Cells, ...]
    read: tuple[int, ...]
    W: Tensor
    symbols: Floats
    transitions: Indices
    answers: Indices
    start: int

    @classmethod
    def of(cls, network: Network, automaton: Automaton) -> Machine:
        """The product of these; see `check_claim` for what is refused."""
        hidden, first, layers = network.hidden.to("cpu"), 0, []
        symbols = torch.tensor(automaton.vectors, dtype=torch.float64).to(hidden.dtype).to(torch.float64).numpy()
        bits = 1 - int(np.log2(torch.finfo(hidden.dtype).eps))
        branches = dict(read_layers(hidden))
        for k, (below, layer) in enumerate(flattened(hidden)):
            membrane = isinstance(hidden.readout, Membrane) and k in branches
            bias = _read_bias(branches[k].readout_bias, layer.m) if membrane else None
            layers.append(_cells(layer, slice(first, first + layer.m), below, symbols, bits, bias))
            first += layer.m
        table = lambda rows: np.array([[-1 if e is None else e for e in row] for row in rows], dtype=np.int64)  # noqa: E731
        tables = table(automaton.transitions), table(automaton.answers)
        return cls(tuple(layers), tuple(branches), network.W.to("cpu"), symbols, *tables, automaton.start)

    def only(self, branches: Sequence[int]) -> Machine:
        """The product of some branches of the network, by their numbers in ascending order, and the automaton."""
        layers: list[Cells] = []
        read, rows, first = [], [], 0
        ends = np.cumsum([len(self.layers[k].leak) for k in self.read])
        for b in branches:
            own = self.layers_of([b])
            shift = len(layers) - own[0]
            for layer in (self.layers[k] for k in own):
                at, below = slice(first, first + len(layer.leak)), layer.below + shift if layer.below >= 0 else -1
                layers.append(replace(layer, at=at, below=below))
                first = at.stop
            read.append(len(layers) - 1)
            rows.append(torch.arange(ends[b] - len(layers[-1].leak), ends[b]))
        return replace(self, layers=tuple(layers), read=tuple(read), W=self.W[torch.cat(rows)])

    def layers_of(self, branches: Sequence[int]) -> list[int]:
        """The numbers of the layers of some branches."""
        return [k for b in branches for k in range(self.read[b - 1] + 1 if b else 0, self.read[b] + 1)]

    @property
    def n_neurons(self) -> int:
        """N, of all layers."""
        return sum(len(layer.leak) for layer in self.layers)

    @property
    def lasting(self) -> Flags:
        """Neurons whose membranes matter for the next step, bool array of shape (N,)."""
        return np.concatenate([np.zeros(0, dtype=bool), *(layer.leak > 0 for layer in self.layers)])

    @property
    def echoing(self) -> Flags:
        """Neurons whose spikes matter for the next step, bool array of shape (N,)."""
        return np.concatenate([np.zeros(0, dtype=bool), *(layer.echoing for layer in self.layers)])

    @property
    def exact(self) -> Flags:
        """Neurons whose sums do not round, bool array of shape (N,)."""
        return np.concatenate([np.zeros(0, dtype=bool), *(layer.exact for layer in self.layers)])

    @property
    def scale(self) -> Floats:
        """The size of each neuron's potential, but for its memory: float64 array of shape (N,)."""
        sizes = [np.zeros(0)]
        for layer in self.layers:
            inputs = np.abs(self.symbols) if layer.below < 0 else np.ones((1, len(layer.weight)))
            size = (inputs @ np.abs(layer.weight)).max(axis=0) + np.abs(layer.bias)
            sizes.append(np.maximum(size, np.abs(layer.threshold)))
        return np.concatenate(sizes)

    def at_rest(self) -> BoxBatch:
        """The start, one row."""
        zeros, one = np.zeros((1, self.n_neurons)), np.zeros(1, dtype=np.int64)
        silent = zeros > 0
        return BoxBatch(one + self.start, silent, zeros, zeros, one, one, silent, np.zeros((1, 0), dtype=bool))

    def step(self, before: BoxBatch) -> BoxBatch:
        """Every row under every symbol that may follow, cut into as many rows as there are spike patterns.

        `source` of the result numbers the rows of `before`. TooManyPatternsError where there are too many.
        """
        source, symbol = np.nonzero(self.transitions[before.state] >= 0)
        rows = replace(before.take(source), source=source, symbol=symbol)
        rows = replace(rows, cut=np.zeros_like(rows.cut), read=np.zeros((len(rows), 0), dtype=bool))
        for k, layer in enumerate(self.layers):
            if layer.below < 0:
                inputs = self.symbols[rows.symbol]
            else:
                inputs = rows.spikes[:, self.layers[layer.below].at].astype(np.float64)
            rows = _step_layer(rows, layer, inputs, read=k in self.read)
        return replace(rows, state=self.transitions[rows.state, rows.symbol])

    def wrong(self, before: BoxBatch, after: BoxBatch) -> Flags:
        """Which rows of `after`, a step of `before`, are answered wrong."""
        answers = self.answers[before.state[after.source], after.symbol]
        given = decide(torch.from_numpy(after.read).to(torch.float64) @ self.W.to(torch.float64)).numpy()
        return (answers >= 0) & (given != answers)


def _read_bias(bias: Tensor | None, m: int) -> Floats:
    return np.zeros(m) if bias is None else _array(bias)


def _array(tensor: Tensor) -> Floats:
    return tensor.to(torch.float64).numpy()


def _cells(layer: Layer, at: slice, below: int, symbols: Floats, bits: int, read_bias: Floats | None) -> Cells:
    own = lif_of(layer, WHO)
    recurrent = None if layer.recurrent is None else _array(layer.recurrent)
    bias = np.zeros(layer.m) if layer.bias is None else _array(layer.bias)
    cells = Cells(
        at, below, _array(layer.weight), recurrent, bias, _array(own.leak), _array(own.threshold), own.reset,
        np.zeros(layer.m, dtype=bool), 2.0**-bits * (len(layer.weight) + layer.m + 4), read_bias,
    )  # fmt: skip
    return replace(cells, exact=_exact(cells, symbols if below < 0 else np.ones((1, len(layer.weight))), bits))


def _exact(cells: Cells, inputs: Floats, bits: int) -> Flags:
    """Neurons that keep all or nothing, and whose terms lie on a grid so coarse that no sum rounds."""
    exact = np.zeros(len(cells.leak), dtype=bool)
    distinct = [sorted(set(map(Fraction, feature))) for feature in inputs.T.tolist()]
    for j in np.flatnonzero((cells.leak == 0) | (cells.leak == 1)).tolist():
        recurrent = [] if cells.recurrent is None else cells.recurrent[:, j].tolist()
        others = [Fraction(float(value)) for value in (*recurrent, cells.bias[j], cells.threshold[j])]
        weights = map(Fraction, cells.weight[:, j].tolist())
        products = [[x * w for x in own] for own, w in zip(distinct, weights, strict=True)]
        size = sum(max(map(abs, own)) for own in products) + sum(map(abs, others))
        places = max(term.denominator for own in (*products, others) for term in own)
        exact[j] = size * places < 2 ** (bits - SPARE_BITS)
    return exact


def _step_layer(rows: BoxBatch, layer: Cells, inputs: Floats, *, read: bool) -> BoxBatch:
    """The rows after a layer has made its step, and was read where it is read; those given are changed."""
    current, size = inputs @ layer.weight + layer.bias, np.abs(inputs) @ np.abs(layer.weight) + np.abs(layer.bias)
    spikes = rows.spikes[:, layer.at].astype(np.float64)
    if layer.recurrent is not None:
        current, size = current + spikes @ layer.recurrent, size + spikes @ np.abs(layer.recurrent)
    if layer.reset == "delayed":
        current = current - spikes * layer.threshold
    low, high = layer.leak * rows.low[:, layer.at], layer.leak * rows.high[:, layer.at]
    size = size + np.abs(layer.threshold) + np.maximum(np.abs(low), np.abs(high))
    error = np.where(layer.exact, 0.0, WIDER * layer.rounding * size)
    rows.low[:, layer.at], rows.high[:, layer.at] = low + current - error, high + current + error
    rows, fired = _cut(rows, layer.at, layer.threshold)
    for ends in (rows.low, rows.high):
        match layer.reset:
            case "soft":
                ends[:, layer.at] -= fired * layer.threshold
            case "hard":
                ends[:, layer.at][fired] = 0.0
            case "none" | "delayed":
                pass
            case _:
                assert_never(layer.reset)
    rows.spikes[:, layer.at] = fired
    bits = fired
    if read and layer.read_bias is not None:
        rows, bits = _cut(rows, layer.at, layer.read_bias)
    return replace(rows, read=np.concatenate([rows.read, bits], axis=1)) if read else rows


def _cut(rows: BoxBatch, at: slice, level: Floats) -> tuple[BoxBatch, Flags]:
    """The rows, which are changed, cut where an interval straddles its level; and whether each value reaches it."""
    reaches = rows.low[:, at] >= level
    straddles = ~reaches & (rows.high[:, at] >= level)
    for j in np.flatnonzero(straddles.any(axis=0)).tolist():
        index = np.flatnonzero(straddles[:, j])
        rows.cut[index, at.start + j] = True
        upper = rows.take(index)
        rows.high[index, at.start + j] = upper.low[:, at.start + j] = level[j]
        rows, above = _followed(rows.join(upper)), reaches[index]
        above[:, j] = True
        reaches, straddles = np.concatenate([reaches, above]), np.concatenate([straddles, straddles[index]])
    return rows, reaches


def _followed(rows: BoxBatch) -> BoxBatch:
    """The rows; TooManyPatternsError where too many come from one box under one symbol."""
    pairs = np.stack([rows.source, rows.symbol])
    which, counts = np.unique(pairs, axis=1, return_counts=True)
    if counts.max() > MOST_PATTERNS:
        source, symbol = which[:, counts.argmax()].tolist()
        own = (rows.source == source) & (rows.symbol == symbol)
        raise TooManyPatternsError(source, symbol, np.logical_or.reduce(rows.cut[own]))
    return rows
