"""The blocks of the Hessian that belong to one output each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.ranks import dealt
from convexsnn.solvers.active_set.coupled.quadratic import Quadratic
from convexsnn.solvers.active_set.gram import area, put_tile, tiles, weighted_gram

# Rows whose curvature is below this part of the largest are left out: blocks only show the way.
NEGLIGIBLE = 0.01


class Gram(NamedTuple):
    """The Hessian over the entries of one output: their columns (m,), ascending, and the matrix (m, m)."""

    columns: Tensor
    matrix: Tensor


def grams_of(quadratic: Quadratic) -> list[Gram]:
    """One for each output, over the entries that may change. Of several ranks each makes some tiles of them."""
    columns, curvature = quadratic.columns, quadratic.curvature.own
    indices = [torch.nonzero(used).flatten() for used in quadratic.used.unbind(dim=1)]
    grams, made = list[Gram](), list[int]()
    for output, index in enumerate(indices):
        if _as_before(output, indices, curvature):
            grams.append(grams[-1])
        else:
            grams.append(Gram(index, curvature.new_zeros(len(index), len(index))))
            made.append(output)
    asked = [(output, tile) for output in made for tile in tiles(len(indices[output]))]
    for number in dealt([area(tile) for _, tile in asked], columns.ranks):
        output, (rows, others) = asked[number]
        index, h = indices[output], curvature[:, output]
        left = columns.whole.take(index[rows])
        right = left if rows == others else columns.whole.take(index[others])
        part = weighted_gram(left, right, h, NEGLIGIBLE * float(h.max()))
        put_tile(grams[output].matrix, (rows, others), part)
    for output in made:
        columns.ranks.add_up(grams[output].matrix)
    return grams


def _as_before(output: int, indices: list[Tensor], curvature: Tensor) -> bool:
    """Whether the block of an output is that of the output before it, as with the squared loss."""
    if output == 0 or not torch.equal(indices[output], indices[output - 1]):
        return False
    return torch.equal(curvature[:, output], curvature[:, output - 1])
