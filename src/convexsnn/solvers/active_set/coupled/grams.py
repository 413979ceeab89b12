"""The blocks of the Hessian that belong to one output each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.ranks import dealt
from convexsnn.solvers.active_set.coupled.quadratic import Quadratic
from convexsnn.solvers.active_set.gram import area, tiles, weighted_gram

# Rows whose curvature is below this part of the largest are left out: blocks only show the way.
NEGLIGIBLE = 0.01


class Gram(NamedTuple):
    """The Hessian over the entries of one output: their columns (m,), ascending, and the matrix (m, m)."""

    columns: Tensor
    matrix: Tensor


def grams_of(quadratic: Quadratic) -> list[Gram]:
    """One for each output, over the entries that may change. Of several ranks each makes some tiles of them."""
    columns, curvature = quadratic.columns, quadratic.curvature
    indices = [torch.nonzero(used).flatten() for used in quadratic.used.unbind(dim=1)]
    grams = [Gram(index, curvature.diagonal.new_zeros(len(index), len(index))) for index in indices]
    asked = [(output, tile) for output, index in enumerate(indices) for tile in tiles(len(index))]
    for number in dealt([area(tile) for _, tile in asked], columns.ranks):
        output, (rows, others) = asked[number]
        index, h = indices[output], curvature.own_of(output)
        left = columns.whole.take(index[rows])
        right = left if rows == others else columns.whole.take(index[others])
        part = weighted_gram(left, right, h, NEGLIGIBLE * float(h.max()))
        grams[output].matrix[rows, others] = part
        grams[output].matrix[others, rows] = part.T
    for gram in grams:
        columns.ranks.add_up(gram.matrix)
    return grams
