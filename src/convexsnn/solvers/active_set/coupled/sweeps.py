"""Coordinate descent on the blocks of single outputs, in compiled code."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.compiling import cached
from convexsnn.solvers.active_set.coupled.grams import Gram
from convexsnn.solvers.active_set.coupled.quadratic import Quadratic

# Sweeps at most, and of how many of them one goes over all units, the others over those that are not zero.
SWEEPS, FULL_EVERY = 24, 4
# A sweep that changes no slope by more than this part of the level is the last one.
ENOUGH = 0.01


def minimise_by_output(quadratic: Quadratic, grams: list[Gram]) -> Tensor:
    """`over_outputs`, by the blocks `grams` of the entries in use."""

    def sweep(outputs: slice, _: Tensor, values: NDArray, slopes: NDArray) -> None:
        matrices = torch.stack([gram.matrix for gram in grams[outputs]]).cpu().numpy()
        _sweep(matrices, values, slopes, quadratic.level)

    return over_outputs(quadratic, sweep)


def over_outputs(quadratic: Quadratic, sweep: Callable[[slice, Tensor, NDArray, NDArray], None]) -> Tensor:
    """Where the model has its minimum if outputs are not coupled by the loss, roughly: shape (k, C).

    Of each set of outputs, `sweep` gets the set, the columns in use, and their values and slopes (c, m). It changes the
    values.
    """
    x = torch.zeros_like(quadratic.x)
    for outputs in quadratic.units.sets(x.shape[1]):
        some, columns = slice(outputs.start, outputs.stop), torch.nonzero(quadratic.used[:, outputs.start]).flatten()
        values = _as_array(quadratic.x[columns, some])
        sweep(some, columns, values, _as_array(quadratic.gradient[columns, some]))
        x[columns, some] = torch.as_tensor(values.T, device=x.device)
    return quadratic.centred(x)


def _as_array(X: Tensor) -> NDArray:
    """X turned, as an array of its own."""
    return X.T.cpu().contiguous().clone().numpy()


@cached
def _sweep(matrices: NDArray, x: NDArray, slopes: NDArray, level: float) -> None:
    """Minimise sum_c <slopes_c, d_c> + d_c^T H_c d_c / 2 + level sum_j |x_j + d_j|, x (c, k) becomes x + d.

    A unit j is a column of x. Its own curvature is bounded by the largest over c, so that no step makes the sum larger.
    """
    outputs, count = x.shape
    slope, change = np.empty(outputs), np.empty(outputs)
    for sweep in range(SWEEPS):
        every, most = sweep % FULL_EVERY == 0, 0.0
        for j in range(count):
            curvature = 0.0
            for c in range(outputs):
                curvature = max(curvature, matrices[c, j, j])
                slope[c] = slopes[c, j]
            if curvature <= 0.0 or not (every or in_use(x, j)):
                continue
            most = max(most, move_unit(x, j, slope, curvature, level, change))
            for c in range(outputs):
                if change[c] != 0.0:
                    for i in range(count):
                        slopes[c, i] += change[c] * matrices[c, j, i]
        if every and most <= ENOUGH * level:
            return


@njit
def in_use(x, j):
    """Whether a column of x (c, k) has an entry that is not zero."""
    found = False
    for c in range(len(x)):
        found = found or x[c, j] != 0.0
    return found


@njit
def move_unit(x, j, slope, curvature, level, change):
    """Go to where a unit is best if its curvature is that number: write x_j and its change (c,).

    Returns the largest change of a slope of its own.
    """
    size = 0.0
    for c in range(len(x)):
        change[c] = x[c, j] - slope[c] / curvature
        size += change[c] * change[c]
    size = math.sqrt(size)
    kept, most = 1.0 - level / (curvature * size) if size * curvature > level else 0.0, 0.0
    for c in range(len(x)):
        reached = kept * change[c]
        change[c] = reached - x[c, j]
        if change[c] != 0.0:
            x[c, j] = reached
            most = max(most, abs(change[c]) * curvature)
    return most
