"""A second simulation of the network, in numpy, which proves the spikes that it gives.

Beside every potential runs a bound of its rounding error. It holds for sums taken in any order, with or without fused
operations, so a spike decided by more than the bound is the spike of the network in real arithmetic, and of every
simulation in the network's dtype. Where all terms are integers of a common grid small enough to be summed exactly the
bound is zero, so that exact ties count as decided. Other decisions are counted as undecided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .model import StoredBranch, StoredHidden, StoredLayer
from .readouts import StoredReadout, each, shares, updated

# Sequences simulated at a time: few enough that the arrays of a layer stay in cache.
CHUNK = 256
# Covers the rounding of the bounds themselves.
SLACK = 1.001
# Beyond so many binary places products might underflow, and are not taken for exact.
FINEST_GRID = 1000.0


@dataclass(frozen=True, eq=False)
class Spikes:
    """Features of the last layers, and how far they are proved.

    Attributes
    ----------
    columns : array of shape (rows, P_last)
        bool where the readout's columns are 0/1, else float64. Rows are sequences, or (sequence, step) pairs ordered
        by sequence, then step.
    decisions : int
        Comparisons with a threshold that were made.
    undecided : int
        Those within the rounding bound: there, `columns` are what numpy's order of summation gives.
    margin : float
        Smallest |v - theta|.
    """

    columns: np.ndarray
    decisions: int
    undecided: int
    margin: float

    @classmethod
    def joined(cls, parts: Sequence[Spikes]) -> Spikes:
        """Those of several parts of the sequences, one below the other."""
        return cls(
            np.concatenate([part.columns for part in parts]),
            sum(part.decisions for part in parts),
            sum(part.undecided for part in parts),
            min(part.margin for part in parts),
        )


def simulate_exactly(hidden: StoredHidden, values: np.ndarray, lengths: np.ndarray) -> Spikes:
    """Run a hidden network on sequences (n, T, d), of which the first `lengths` steps count; float64 values."""
    first = np.cumsum(lengths) - lengths if hidden.every_step else np.arange(len(lengths))
    rows = int(lengths.sum()) if hidden.every_step else len(lengths)
    columns = np.zeros((rows, hidden.n_last), dtype=bool if hidden.readout.bits else np.float64)
    tally = _Tally()
    for length in np.unique(lengths).tolist():
        chosen = np.flatnonzero(lengths == length)
        # Equal sequences are simulated once.
        distinct, which = np.unique(values[chosen, :length], axis=0, return_inverse=True)
        for start in range(0, len(distinct), CHUNK):
            features = _chunk(hidden, distinct[start : start + CHUNK].astype(hidden.dtype), tally)
            mine = (which.ravel() >= start) & (which.ravel() < start + CHUNK)
            at, source = first[chosen[mine]], which.ravel()[mine] - start
            for t, read in enumerate(features):
                columns[at + t] = read[source]
    return Spikes(columns, tally.decisions, tally.undecided, tally.margin)


def _chunk(hidden: StoredHidden, x: np.ndarray, tally: _Tally) -> list[np.ndarray]:
    """The features of every step that is read: one step, or all."""
    branches = [_run(hidden, branch, x, tally) for branch in hidden.branches]
    steps = x.shape[1] if hidden.every_step else 1
    silent = np.zeros((len(x), 0), dtype=bool)
    return [np.concatenate([silent, *(reads[t] for reads in branches)], axis=1) for t in range(steps)]


class _Tally:
    """Decisions so far; a fresh one a simulation."""

    def __init__(self) -> None:
        self.decisions, self.undecided, self.margin = 0, 0, np.inf

    def note(self, distance: np.ndarray, error: np.ndarray) -> None:
        if not np.isfinite(error).all():
            raise ValueError("potentials leave the range of the network's dtype")
        size = np.abs(distance)
        self.decisions += size.size
        # Strictly beyond the bound, or exact.
        self.undecided += int(((size <= error) & (error > 0)).sum())
        self.margin = min(self.margin, float(size.min(initial=np.inf)))


@dataclass
class _Cell:
    """A layer in the course of a simulation: its membranes, their error bounds, its spikes.

    `grid` says of how many binary places each membrane is while it is exact; infinity afterwards. `line` has what the
    layer was shown, the last first, as far back as its longest delay.
    """

    layer: StoredLayer
    membrane: np.ndarray
    error: np.ndarray
    spikes: np.ndarray
    grid: np.ndarray
    line: list[np.ndarray]

    def see(self, below: np.ndarray) -> np.ndarray:
        """The input of the weights at a step at which `below` is shown; it is zero before the first step."""
        self.line = [below, *self.line][: self.layer.delays[-1] + 1]
        late = [self.line[d] if d < len(self.line) else np.zeros_like(below) for d in self.layer.delays]
        return np.concatenate(late, axis=1)


def _run(hidden: StoredHidden, branch: StoredBranch, x: np.ndarray, tally: _Tally) -> list[np.ndarray]:
    """The features of one branch at the steps that are read."""
    zeros = lambda m, dtype: np.zeros((len(x), m), dtype=dtype)  # noqa: E731
    cells = [
        _Cell(la, zeros(la.m, hidden.dtype), zeros(la.m, float), zeros(la.m, hidden.dtype), zeros(la.m, float), [])
        for la in branch.layers
    ]
    places, reads = _places(x).max(initial=0.0), []
    sums = np.zeros((len(x), branch.layers[-1].m, hidden.readout.kept), dtype=hidden.dtype)
    for t in range(x.shape[1]):
        below, below_places = x[:, t], places
        for cell in cells:
            _step(cell, cell.see(below), below_places, tally)
            below, below_places = cell.spikes, 0.0
        sums = updated(hidden.readout, sums, cells[-1].spikes, t + 1)
        if hidden.every_step or t == x.shape[1] - 1:
            read = _read(hidden.readout, branch, cells[-1], sums, t + 1, tally)
            reads.append(read.reshape(len(x), -1))
    return reads


def _read(
    readout: StoredReadout, branch: StoredBranch, last: _Cell, sums: np.ndarray, steps: int, tally: _Tally
) -> np.ndarray:
    """Columns (n, m, parts)."""
    match readout.kind:
        case "spike":
            return last.spikes[:, :, None] > 0
        case "membrane":
            bias = 0.0 if branch.readout_bias is None else branch.readout_bias
            tally.note(last.membrane - bias, last.error)
            return (last.membrane >= bias)[:, :, None]
        case "several":
            parts = [_read(own, branch, last, kept, steps, tally) for own, kept in each(readout, sums)]
            return np.concatenate(parts, axis=2, dtype=sums.dtype)
        case _:
            return shares(readout, sums, steps)


def _step(cell: _Cell, below: np.ndarray, below_places: float, tally: _Tally) -> None:
    """One time step of one layer: the neurons of theory.md section 1, with error bounds."""
    layer, dtype = cell.layer, cell.membrane.dtype
    potential, size, terms, grid = _current(layer, below, below_places, cell.spikes)
    theta, error = layer.threshold, np.zeros_like(cell.error)
    if layer.reset is not None:
        kept = layer.leak * cell.membrane
        potential, size = kept + potential, size + np.abs(kept)
        # Off the grid where the membrane is not exact.
        gone = (layer.leak == 0) | ((cell.membrane == 0) & (cell.error == 0))
        kept_grid = np.where(cell.error > 0, np.inf, cell.grid) + _places(layer.leak)
        grid = np.maximum(grid, np.where(gone, 0.0, kept_grid))
        error = layer.leak * cell.error * (1 + 1e-9)
    if layer.reset == "delayed":
        late = cell.membrane >= theta
        potential = np.where(late, potential - theta, potential)
        size, grid = size + np.where(late, np.abs(theta), 0.0), np.maximum(grid, np.where(late, _places(theta), 0.0))
    error = error + _rounding(size, terms + 4, grid, dtype)
    distance, fired = potential - theta, potential >= theta
    tally.note(distance, error)
    cell.spikes, cell.grid = fired.astype(dtype), np.where(error > 0, np.inf, grid)
    cell.membrane, cell.error = potential, error
    match layer.reset:
        case "soft":
            cell.grid = np.where(fired, np.maximum(cell.grid, _places(theta)), cell.grid)
            once = _rounding(np.abs(potential) + np.abs(theta), 1, cell.grid, dtype)
            cell.membrane, cell.error = np.where(fired, distance, potential), np.where(fired, error + once, error)
        case "hard":
            cell.membrane, cell.error = np.where(fired, 0, potential), np.where(fired, 0.0, error)
        case "none" | "delayed" | None:
            pass
        case other:
            raise ValueError(f"spikes of neurons of reset {other!r} cannot be proved")


def _current(layer: StoredLayer, below: np.ndarray, below_places: float, spikes: np.ndarray):
    """The current, the sum of the sizes of its terms in float64, their number, and their binary places."""
    current, terms = below @ layer.weight, layer.weight.shape[0]
    size = np.abs(below).astype(float) @ np.abs(layer.weight).astype(float)
    grid = below_places + _places(layer.weight).max(axis=0, initial=0.0)
    if layer.recurrent is not None:
        current = current + spikes @ layer.recurrent
        size = size + spikes.astype(float) @ np.abs(layer.recurrent).astype(float)
        terms += layer.recurrent.shape[0]
        grid = np.maximum(grid, _places(layer.recurrent).max(axis=0, initial=0.0))
    if layer.bias is not None:
        current, size = current + layer.bias, size + np.abs(layer.bias)
        grid = np.maximum(grid, _places(layer.bias))
    return current, size, terms, grid


def _rounding(size: np.ndarray, terms: int, grid: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Bound of the error of a sum of `terms` rounded products of total size `size`; zero where all is exact.

    The classical bound gamma_k = k u / (1 - k u) holds for any order of summation (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1); an underflow adds the smallest number. On a grid of 2**-grid all partial sums
    are exact while their size is below 2**-grid / u.
    """
    unit = float(np.finfo(dtype).eps) / 2
    with np.errstate(over="ignore"):
        exact = (grid <= FINEST_GRID) & (size * SLACK * np.exp2(np.minimum(grid, FINEST_GRID)) <= 1.0 / unit)
    k = terms * unit
    bound = SLACK * (k / (1 - k) * size + terms * float(np.finfo(dtype).smallest_subnormal))
    return np.where(exact, 0.0, bound)


def _places(values: np.ndarray) -> np.ndarray:
    """Binary places after the point that each float has: 0 for integers."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    low = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return np.where(whole == 0, 0, np.maximum(0, 53 - exponent - low)).astype(float)
