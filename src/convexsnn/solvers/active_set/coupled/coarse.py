"""Coarse spaces: a direction a column in which blocks of single outputs are far from the Hessian.

The softmax does not see what is added to the scores of all classes. So entries of many classes of one column move
together at nearly no cost, of which the blocks of single outputs know nothing. Likewise the group penalty does not
bend along a row, which the diagonal of its Hessian hides.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.active_set.coupled.grams import Gram
from convexsnn.solvers.active_set.coupled.quadratic import Quadratic
from convexsnn.solvers.newton.factor import cholesky, solve_factored

# A column has a direction of its own where this part of the classes is on the support; at most so many columns have.
MANY_CLASSES, MOST_COLUMNS = 0.6, 256
# Rows that these directions are looked at on, about: the rest of them would say the same.
SAMPLE = 2**11
# Where all classes of a column are used, what they share costs nothing at all. The inverse stays finite by this part of
# what the classes cost alone.
FLOOR = 1e-5


class Coarse:
    """V (V^T H V)^-1 V^T with a direction v_j (C,) for each of some columns.

    Parameters
    ----------
    columns : int64 tensor of shape (m,)
    directions : float64 tensor of shape (m, C)
    matrix : tensor of shape (m, m)
        V^T H V, or one near it.
    """

    def __init__(self, columns: Tensor, directions: Tensor, matrix: Tensor) -> None:
        self._columns, self._directions, self._lower = columns, directions, cholesky(matrix)

    def apply(self, X: Tensor) -> Tensor:
        """The product with X (k, C)."""
        right = (self._directions * X[self._columns]).sum(dim=1, keepdim=True).to(self._lower.dtype)
        out = torch.zeros_like(X)
        out[self._columns] = self._directions * solve_factored(self._lower, right).to(X.dtype)
        return out


def coarse_spaces(quadratic: Quadratic, grams: list[Gram], active: Tensor, bend: RowMatrices | None) -> list[Coarse]:
    """The coarse spaces of the support `active` (k, C)."""
    if bend is not None:
        return [_along_rows(quadratic, grams, active)]
    diagonal, vector, blocks = quadratic.curvature
    if vector is None:
        return []
    found = [_shared(quadratic, active, block) for block in blocks or [range(diagonal.shape[1])]]
    return [coarse for coarse in found if coarse is not None]


def _along_rows(quadratic: Quadratic, grams: list[Gram], active: Tensor) -> Coarse:
    """The directions of the rows; what the loss couples between outputs is left out, as it matters little there."""
    columns = torch.nonzero(active.any(dim=1)).flatten()
    directions = quadratic.units.directions(quadratic.x)[columns]
    matrix = grams[0].matrix.new_zeros(len(columns), len(columns))
    for direction, gram in zip(directions.to(matrix.dtype).unbind(dim=1), grams, strict=True):
        matrix += torch.outer(direction, direction) * gram.between(columns)
    return Coarse(columns, directions, matrix)


def _shared(quadratic: Quadratic, active: Tensor, block: range) -> Coarse | None:
    """What the classes of one softmax have in common, for the columns that are used by most of them."""
    some = slice(block.start, block.stop)
    count = active[:, some].sum(dim=1)
    many = torch.nonzero(count >= max(2.0, MANY_CLASSES * len(block))).flatten()
    if not len(many):
        return None
    columns = many[count[many].argsort(descending=True, stable=True)[:MOST_COLUMNS]].sort().values
    directions = torch.zeros(len(columns), active.shape[1], dtype=torch.float64, device=active.device)
    directions[:, some] = active[columns, some].to(torch.float64)
    return Coarse(columns, directions, _between(quadratic, columns, active[columns], block))


def _between(quadratic: Quadratic, columns: Tensor, active: Tensor, block: range) -> Tensor:
    """V^T H V = sum_c A_c D^T diag(a_c) D A_c - Q^T Q, A_c the columns that class c uses, Q = sum_c v_c D A_c."""
    places = [torch.nonzero(active[:, c]).flatten() for c in block]
    step = max(1, len(quadratic.curvature.diagonal) // SAMPLE)

    def of_block(entries: Tensor, rows: slice) -> Tensor:
        """The two terms, of every so many rows."""
        some = entries[:, ::step].index_select(0, columns)
        diagonal, vector, _ = quadratic.curvature.rows(slice(rows.start, rows.stop, step))
        assert vector is not None
        alone, total = some.new_zeros(len(columns), len(columns)), torch.zeros_like(some)
        for c, chosen in zip(block, places, strict=True):
            used = some[chosen]
            alone[chosen.unsqueeze(1), chosen] += (used * diagonal[:, c]) @ used.T
            total[chosen] += used * vector[:, c]
        return torch.stack([alone, total @ total.T])

    zero = torch.zeros(2, len(columns), len(columns), dtype=quadratic.columns.dtype, device=columns.device)
    alone, shared = step * quadratic.columns.summed(of_block, zero)
    return alone - shared + torch.diag(FLOOR * alone.diagonal())
