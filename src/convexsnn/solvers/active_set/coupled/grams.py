"""The blocks of the Hessian that belong to one output each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.ranks import dealt
from convexsnn.solvers.active_set.coupled.quadratic import Quadratic
from convexsnn.solvers.active_set.coupled.unpacked import UnpackedColumns

# Rows whose curvature is below this part of the largest are left out: blocks only show the way.
NEGLIGIBLE = 0.01


class Gram(NamedTuple):
    """The Hessian over the entries of one output: their columns (m,), ascending, and the matrix (m, m)."""

    columns: Tensor
    matrix: Tensor


def grams_of(quadratic: Quadratic) -> list[Gram]:
    """One for each output, over the entries that may change. Of several ranks each makes those of some outputs."""
    columns, ranks = quadratic.columns, quadratic.columns.ranks
    indices = [torch.nonzero(used).flatten() for used in quadratic.used.unbind(dim=1)]
    own, grams = dealt([len(index) ** 2 for index in indices], ranks), []
    for output, (index, h) in enumerate(zip(indices, quadratic.curvature.own.unbind(dim=1), strict=True)):
        mine = output in own
        matrix = _weighted_gram(columns, index, h) if mine else h.new_zeros(len(index), len(index))
        ranks.add_up(matrix)
        grams.append(Gram(index, matrix))
    return grams


def _weighted_gram(columns: UnpackedColumns, index: Tensor, h: Tensor) -> Tensor:
    rows = columns.rows(index)
    kept = torch.nonzero(h > NEGLIGIBLE * h.max()).flatten()
    if 2 * len(kept) < len(h):
        rows, h = rows.index_select(1, kept), h[kept]
    return (rows * h) @ rows.T
