"""What a neuron's potential is linear in, once all spikes are known: the unrolled dynamics of theory.md section 1.

With the spikes of the layer below and of the layer itself given, the potential minus the threshold of neuron j at step
t is z_t . u with u = (weights from below, recurrent weights, bias, threshold): a row a (sequence, step) pair, for all
steps at once, so that the weights are shared across time. The regressors are leaky sums:

    below, recurrent, bias   H_t = leak H_{t-1} + h_t, where hard reset begins anew after a spike
    threshold                -(A_t + 1), A_t = leak (A_{t-1} + s_{t-1}) of soft, leak A_{t-1} + s_{t-1} of delayed

and the plain h_t, without a threshold, for threshold units.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from convexsnn.neurons import Neuron, Reset
from convexsnn.rationals import Integers, as_fractions
from convexsnn.reconstruction.kinds import as_lif


@dataclass(frozen=True, eq=False)
class Examples:
    """What one neuron must do.

    Attributes
    ----------
    regressors : float64 array of shape (rows, p)
        (from below, recurrent, bias, threshold), those that the neuron has.
    fires : bool array of shape (rows,)
    """

    regressors: np.ndarray
    fires: np.ndarray

    def signed(self) -> np.ndarray:
        """Regressors times labels +-1: positive products with u are right."""
        return np.where(self.fires[:, None], self.regressors, -self.regressors)


@dataclass(frozen=True, eq=False)
class LayerPattern:
    """Spikes of a layer and of what feeds it, on distinct prefixes of sequences.

    Attributes
    ----------
    below : float64 array of shape (n, T, n_in)
    spikes : float64 array of shape (n, T, m)
        Zeros and ones.
    counted : bool array of shape (n, T)
        Steps that are to be learned: within the sequence, and no repetition of another sequence's beginning.
    neuron : LIF or Threshold
    recurrent, bias : bool
        Whether the layer has them.
    read : float64 array of shape (n, T, m), optional
        1 where the membrane after reset is read as >= 0, 0 where not, NaN where it is not read.

    Raises
    ------
    ValueError
        When the potentials of the neurons are not known to be linear in their weights.
    """

    below: np.ndarray
    spikes: np.ndarray
    counted: np.ndarray
    neuron: Neuron
    recurrent: bool
    bias: bool
    read: np.ndarray | None = None

    def __post_init__(self) -> None:
        as_lif(self.neuron)  # refuses other kinds

    def examples(self, j: int) -> Examples:
        """What neuron j must do at every counted step."""
        rows = self._rows(j, self.below, self.spikes, _leak_of(self.neuron, j))
        labels = self._labels(j)[: len(rows)]
        places = self._places(rows, labels)
        return Examples(rows[places], labels[places] > 0.5)

    def exact_examples(self, j: int, index: NDArray[np.int64]) -> Integers:
        """The regressors of some of the `examples` without rounding: Fractions of shape (len(index), p)."""
        rows = self._rows(j, self.below, self.spikes, _leak_of(self.neuron, j))
        places = self._places(rows, self._labels(j)[: len(rows)])
        parts, sequences, steps = (place[index] for place in np.nonzero(places))
        which, local = np.unique(sequences, return_inverse=True)
        below, spikes = as_fractions(self.below[which]), self.spikes[which].astype(int).astype(object)
        return self._rows(j, below, spikes, Fraction(_leak_of(self.neuron, j)))[parts, local, steps]

    def _rows(self, j: int, below: NDArray, spikes: NDArray, leak: Any) -> NDArray:
        """Regressors of neuron j at every step, for its spikes and then for what is read: (1 or 2, n, T, p).

        They are computed in the arithmetic of what is given, floats or Fractions.
        """
        own, before = spikes[:, :, j], np.concatenate([np.zeros_like(spikes[:, :1]), spikes[:, :-1]], axis=1)
        parts = [below]
        if self.recurrent:
            parts.append(before)
        if self.bias:
            parts.append(np.ones((*below.shape[:2], 1), dtype=below.dtype))
        inputs = np.concatenate(parts, axis=2)
        lif = as_lif(self.neuron)
        return (
            inputs[None] if lif is None else self._leaky(inputs, own, leak, lif.reset, late=bool(lif.threshold[j] < 0))
        )

    def _leaky(self, inputs: NDArray, own: NDArray, leak: Any, reset: Reset, *, late: bool) -> NDArray:
        summed, taken = np.zeros_like(inputs), np.zeros_like(own)
        state, debt, last = np.zeros_like(inputs[:, 0]), np.zeros_like(own[:, 0]), np.zeros_like(own[:, 0])
        if reset == "delayed" and late:
            last = np.ones_like(last)  # the membrane of the start, 0, is above a negative threshold
        for t in range(inputs.shape[1]):
            match reset:
                case "none":
                    pass
                case "hard":
                    state = state * (1 - last)[:, None]
                case "soft":
                    debt = leak * (debt + last)
                case "delayed":
                    debt = leak * debt + last
                case _:
                    assert_never(reset)
            state = leak * state + inputs[:, t]
            summed[:, t], taken[:, t], last = state, debt, own[:, t]
        rows = [np.concatenate([summed, -(taken + 1)[:, :, None]], axis=2)]
        if self.read is not None:
            after = taken + own if reset == "soft" else taken
            kept = summed * (1 - own)[:, :, None] if reset == "hard" else summed
            rows.append(np.concatenate([kept, -after[:, :, None]], axis=2))
        return np.stack(rows)

    def _labels(self, j: int) -> NDArray[np.float64]:
        """What is wanted: spikes, and what is read, NaN where nothing is."""
        return np.stack([part[:, :, j] for part in (self.spikes, self.read) if part is not None])

    def _places(self, rows: NDArray, labels: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Counted rows; a zero row reads as firing whatever the weights are, and is left out where it should."""
        return self.counted & ~np.isnan(labels) & (rows.any(axis=3) | (labels < 0.5))


def _leak_of(neuron: Neuron, j: int) -> float:
    lif = as_lif(neuron)
    return 0.0 if lif is None else float(lif.leak[j])


def distinct_prefixes(below: np.ndarray, spikes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Which (sequence, step) pairs to keep, (n, T): one of those whose inputs and spikes up to it are the same."""
    n, T = below.shape[:2]
    kept, group = np.zeros((n, T), dtype=bool), np.zeros(n)
    for t in range(T):
        alive = np.flatnonzero(lengths > t)
        keys = np.column_stack([group[alive], below[alive, t], spikes[alive, t]])
        _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        kept[alive[first], t] = True
        group[alive] = which.ravel()
    return kept
