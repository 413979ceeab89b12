"""Coordinate descent as in `sweeps`, without matrices of columns: what a step changes is kept row by row.

Where rows are fewer than columns in use, this takes less memory and less time.
"""

# Numba gives functions of vectors another signature: without the typing context.
# pyright: reportCallIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.compiling import cached
from convexsnn.lanes import BYTES, lanes_of, load, muladd, pointer, spread, store, total, zeros
from convexsnn.solvers.active_set.coupled.quadratic import Quadratic
from convexsnn.solvers.active_set.coupled.sweeps import ENOUGH, FULL_EVERY, SWEEPS, in_use, move_unit, over_outputs
from convexsnn.solvers.active_set.gram import entries_between

# Float64 numbers of a vector.
LANES = lanes_of(8)


class RowSweeps:
    """Sweeps over the units of a quadratic model with fewer rows than entries in use of an output."""

    def __init__(self, quadratic: Quadratic) -> None:
        columns = quadratic.columns.whole
        n = columns.shape[0]
        self._entries = _in_vectors(entries_between(columns, slice(0, n), torch.float64))
        self._curvature = _in_vectors(quadratic.curvature.own.T.to(torch.float64))

    @staticmethod
    def suit(quadratic: Quadratic) -> bool:
        """Whether outputs have more entries in use, in the mean, than there are rows."""
        return int(quadratic.used.sum()) > quadratic.curvature.diagonal.numel()

    def minimise(self, quadratic: Quadratic) -> Tensor:
        """See `over_outputs`."""

        def sweep(outputs: slice, columns: Tensor, values: NDArray, slopes: NDArray) -> None:
            _sweep(self._entries[columns.cpu().numpy()], self._curvature[outputs], values, slopes, quadratic.level)

        return over_outputs(quadratic, sweep)


def _in_vectors(numbers: Tensor) -> NDArray:
    """Float64 numbers (k, n) with zeros to where the last vector of each row ends."""
    count, n = numbers.shape
    out = np.zeros((count, -(-n // LANES) * LANES))
    out[:, :n] = numbers.cpu().numpy()
    return out


@cached
def _sweep(D: NDArray, h: NDArray, x: NDArray, slopes: NDArray, level: float) -> None:
    """As `sweeps._sweep`, of H_c = D diag(h_c) D^T for D (k, n) and h (c, n), where rows are whole vectors."""
    outputs, count = x.shape
    vectors = D.shape[1] * D.itemsize // BYTES
    turned, curvatures, slope, change = np.zeros_like(h), np.zeros(count), np.empty(outputs), np.empty(outputs)
    columns, weights, moved = pointer(D), pointer(h), pointer(turned)
    for j in range(count):
        for c in range(outputs):
            curvatures[j] = max(curvatures[j], _energy(columns, j * vectors, weights, c * vectors, vectors))
    for sweep in range(SWEEPS):
        every, most = sweep % FULL_EVERY == 0, 0.0
        for j in range(count):
            if curvatures[j] <= 0.0 or not (every or in_use(x, j)):
                continue
            for c in range(outputs):
                slope[c] = slopes[c, j] + _product(columns, j * vectors, moved, c * vectors, vectors)
            most = max(most, move_unit(x, j, slope, curvatures[j], level, change))
            for c in range(outputs):
                if change[c] != 0.0:
                    _move(moved, weights, c * vectors, columns, j * vectors, vectors, change[c])
        if every and most <= ENOUGH * level:
            return


@njit
def _product(a, i, b, j, vectors):
    """<a, b> of vectors from numbers i and j on."""
    first = second = zeros(a)
    for v in range(0, vectors - 1, 2):
        first = muladd(load(a, i + v), load(b, j + v), first)
        second = muladd(load(a, i + v + 1), load(b, j + v + 1), second)
    if vectors % 2:
        first = muladd(load(a, i + vectors - 1), load(b, j + vectors - 1), first)
    return total(first) + total(second)


@njit
def _energy(a, i, weights, j, vectors):
    """The squared norm of `a` under weights."""
    found = zeros(a)
    for v in range(vectors):
        entries = load(a, i + v)
        found = muladd(muladd(entries, load(weights, j + v), zeros(a)), entries, found)
    return total(found)


@njit
def _move(moved, weights, i, columns, j, vectors, change):
    """Add h D_j times a change."""
    factor = spread(change)
    for v in range(vectors):
        step = muladd(factor, load(columns, j + v), zeros(columns))
        store(moved, i + v, muladd(step, load(weights, i + v), load(moved, i + v)))
