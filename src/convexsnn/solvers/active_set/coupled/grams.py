"""The blocks of the Hessian that belong to one output each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.solvers.active_set.coupled.quadratic import Quadratic
from convexsnn.solvers.active_set.coupled.unpacked import UnpackedColumns

# Rows whose curvature is below this part of the largest are left out: blocks only show the way.
NEGLIGIBLE = 0.01


class Gram(NamedTuple):
    """The Hessian over the entries of one output: their columns (m,), ascending, and the matrix (m, m)."""

    columns: Tensor
    matrix: Tensor


def grams_of(quadratic: Quadratic) -> list[Gram]:
    """One for each output, over the entries that may change."""
    grams = []
    for h, used in zip(quadratic.curvature.own.unbind(dim=1), quadratic.used.unbind(dim=1), strict=True):
        index = torch.nonzero(used).flatten()
        grams.append(Gram(index, _weighted_gram(quadratic.columns, index, h)))
    return grams


def _weighted_gram(columns: UnpackedColumns, index: Tensor, h: Tensor) -> Tensor:
    rows = columns.rows(index)
    kept = torch.nonzero(h > NEGLIGIBLE * h.max()).flatten()
    if 2 * len(kept) < len(h):
        rows, h = rows.index_select(1, kept), h[kept]
    return (rows * h) @ rows.T
