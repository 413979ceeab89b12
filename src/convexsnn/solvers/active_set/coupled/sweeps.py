"""Coordinate descent on the blocks of single outputs, in compiled code."""

from __future__ import annotations

import math

import numpy as np
import torch
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
    """Where the model has its minimum if outputs are not coupled by the loss, roughly: shape (k, C)."""
    x = torch.zeros_like(quadratic.x)
    for outputs in quadratic.units.sets(x.shape[1]):
        columns = grams[outputs.start].columns
        some = slice(outputs.start, outputs.stop)
        matrices = torch.stack([gram.matrix for gram in grams[some]]).cpu().numpy()
        values = as_array(quadratic.x[columns, some])
        slopes = as_array(quadratic.gradient[columns, some])
        _sweep(matrices, values, slopes, quadratic.level)
        x[columns, some] = torch.as_tensor(values.T, device=x.device)
    return quadratic.centred(x)


def as_array(X: Tensor) -> NDArray:
    """X turned, as an array of its own."""
    return X.T.cpu().contiguous().clone().numpy()


@cached
def _sweep(matrices: NDArray, x: NDArray, slopes: NDArray, level: float) -> None:
    """Minimise sum_c <slopes_c, d_c> + d_c^T H_c d_c / 2 + level sum_j |x_j + d_j|, x (c, k) becomes x + d.

    A unit j is a column of x. Its own curvature is bounded by the largest over c, so that no step makes the sum larger.
    """
    outputs, count = x.shape
    reached = np.empty(outputs)
    for sweep in range(SWEEPS):
        every, most = sweep % FULL_EVERY == 0, 0.0
        for j in range(count):
            curvature, used = 0.0, every
            for c in range(outputs):
                curvature = max(curvature, matrices[c, j, j])
                used = used or x[c, j] != 0.0
            if not used or curvature <= 0.0:
                continue
            size = 0.0
            for c in range(outputs):
                reached[c] = x[c, j] - slopes[c, j] / curvature
                size += reached[c] * reached[c]
            size = math.sqrt(size)
            kept = 1.0 - level / (curvature * size) if size * curvature > level else 0.0
            for c in range(outputs):
                change = kept * reached[c] - x[c, j]
                if change != 0.0:
                    x[c, j] = kept * reached[c]
                    most = max(most, abs(change) * curvature)
                    for i in range(count):
                        slopes[c, i] += change * matrices[c, j, i]
        if every and most <= ENOUGH * level:
            return
