"""A point of the quadratic model, its gradient there, and steps that make the model smaller."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.row_matrices import RowMatrices
from convexsnn.rowwise import blocks_of_rows
from convexsnn.solvers.active_set.coupled.unpacked import UnpackedColumns
from convexsnn.solvers.active_set.units import Units

HALVINGS = 10
# The loss does not see what is added to all scores of a block where that changes the gradient by at most this part.
UNSEEN = 1e-5


class Quadratic:
    """<g, x - x0> + (x - x0)^T H (x - x0) / 2 + level Omega(x), known through products with H = D^T diag(h) D.

    Attributes
    ----------
    columns : UnpackedColumns
        The k columns in use, of n rows.
    curvature : RowMatrices
        h, in the arithmetic of the columns.
    units : Units
    level : float
    used : bool tensor of shape (k, C)
        The entries that may change; all others are zero.
    x, gradient : float64 tensors of shape (k, C)
        Where the point is, and the gradient without the penalty.
    value : float
        The model there.
    """

    def __init__(
        self,
        columns: UnpackedColumns,
        curvature: RowMatrices,
        units: Units,
        level: float,
        used: Tensor,
        start: tuple[Tensor, Tensor],
    ) -> None:
        self.columns, self.units, self.level, self.used = columns, units, level, used
        self.curvature = curvature
        self.x, self.gradient = start
        self._start = start
        self._unseen = _unseen(curvature) if len(units.sets(used.shape[1])) == 1 else []
        self.value = self._value_at(*start)

    def hessian(self, X: Tensor) -> Tensor:
        """H X for X of shape (k, C), in every entry of the columns in use."""
        return self.columns.hessian(self.curvature, X)

    def centred(self, X: Tensor) -> Tensor:
        """X (k, C) with rows of mean zero over each softmax, where the penalty is on rows.

        The loss does not see the mean, and the penalty is smallest without it.
        """
        if not self._unseen:
            return X
        parts = X.split([len(block) for block in self._unseen], dim=1)
        return torch.cat([part - part.mean(dim=1, keepdim=True) for part in parts], dim=1)

    def go_towards(self, target: Tensor) -> None:
        """Go to `target` (k, C), or as far towards it as makes the model smaller."""
        change = target - self.x
        turn = self.hessian(change)
        length = 1.0
        for _ in range(HALVINGS):
            x, gradient = self.x + length * change if length < 1.0 else target, self.gradient + length * turn
            value = self._value_at(x, gradient)
            if value < self.value:
                self.x, self.gradient, self.value = x, gradient, value
                return
            length /= 2.0

    def _value_at(self, x: Tensor, gradient: Tensor) -> float:
        before, slope = self._start
        smooth = 0.5 * float(((slope + gradient) * (x - before)).sum())
        return smooth + self.level * float(self.units.sizes(x).sum())


def _unseen(curvature: RowMatrices) -> list[range]:
    """The blocks of outputs, if what is added to all scores of one changes no gradient; otherwise none."""
    diagonal, vector, blocks = curvature
    if vector is None or not len(diagonal):
        return []
    every = list(blocks) or [range(diagonal.shape[1])]
    ones = torch.ones_like(diagonal[:1])
    left = max(float(curvature.rows(rows).apply(ones).abs().max()) for rows in blocks_of_rows(len(diagonal)))
    return every if left <= UNSEEN * float(diagonal.max()) else []
