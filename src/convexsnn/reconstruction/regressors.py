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

import numpy as np

from convexsnn.neurons import LIF, Neuron, Threshold


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
        For other neurons, whose potentials are not known to be linear in their weights.
    """

    below: np.ndarray
    spikes: np.ndarray
    counted: np.ndarray
    neuron: Neuron
    recurrent: bool
    bias: bool
    read: np.ndarray | None = None

    def __post_init__(self) -> None:
        match self.neuron:
            case LIF(reset="soft" | "hard" | "none" | "delayed") | Threshold():
                return
            case LIF(reset=reset):
                raise ValueError(f"weights for spike patterns are not known for the reset {reset!r}")
            case other:
                raise ValueError(
                    f"weights for spike patterns are known of LIF and Threshold, not of kind {other.name!r}"
                )

    def examples(self, j: int) -> Examples:
        """What neuron j must do at every counted step."""
        before = np.concatenate([np.zeros_like(self.spikes[:, :1]), self.spikes[:, :-1]], axis=1)
        parts = [self.below]
        if self.recurrent:
            parts.append(before)
        if self.bias:
            parts.append(np.ones((*self.counted.shape, 1)))
        inputs, own = np.concatenate(parts, axis=2), self.spikes[:, :, j]
        if isinstance(self.neuron, LIF):
            return self._leaky(inputs, own, j)
        return self._chosen([(inputs, own)])

    def _leaky(self, inputs: np.ndarray, own: np.ndarray, j: int) -> Examples:
        assert isinstance(self.neuron, LIF)
        leak, reset = float(self.neuron.leak[j]), self.neuron.reset
        summed, taken = np.zeros_like(inputs), np.zeros_like(own)
        state, debt, last = np.zeros_like(inputs[:, 0]), np.zeros_like(own[:, 0]), np.zeros_like(own[:, 0])
        if reset == "delayed" and float(self.neuron.threshold[j]) < 0.0:
            last = np.ones_like(last)  # the membrane of the start, 0, is above the threshold
        for t in range(inputs.shape[1]):
            state = leak * (state * (1 - last)[:, None] if reset == "hard" else state) + inputs[:, t]
            if reset == "soft":
                debt = leak * (debt + last)
            elif reset == "delayed":
                debt = leak * debt + last
            summed[:, t], taken[:, t], last = state, debt, own[:, t]
        rows = [(np.concatenate([summed, -(taken + 1.0)[:, :, None]], axis=2), own)]
        if self.read is not None:
            after = taken + (own if reset == "soft" else 0.0)
            kept = summed * (1 - own)[:, :, None] if reset == "hard" else summed
            rows.append((np.concatenate([kept, -after[:, :, None]], axis=2), self.read[:, :, j]))
        return self._chosen(rows)

    def _chosen(self, parts: list[tuple[np.ndarray, np.ndarray]]) -> Examples:
        """Counted rows; a zero row reads as firing whatever the weights are, and is left out where it should."""
        regressors = np.concatenate([rows[self.counted] for rows, _ in parts])
        labels = np.concatenate([labels[self.counted] for _, labels in parts])
        kept = ~np.isnan(labels) & (regressors.any(axis=1) | (labels < 0.5))
        return Examples(regressors[kept], labels[kept] > 0.5)


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
