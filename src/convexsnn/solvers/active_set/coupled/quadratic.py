"""A point of the quadratic model, its gradient there, and steps that make the model smaller."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.active_set.coupled.unpacked import UnpackedColumns
from convexsnn.solvers.active_set.units import Units

HALVINGS = 10


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
        self.curvature = _by_output(curvature, columns.dtype)
        self.x, self.gradient = start
        self._start = start
        self._value = self._value_at(*start)

    def hessian(self, X: Tensor) -> Tensor:
        """H X for X of shape (k, C), in every entry of the columns in use."""
        return self.columns.rmatmul(self.curvature.apply(self.columns.matmul(X)))

    def go_towards(self, target: Tensor) -> None:
        """Go to `target` (k, C), or as far towards it as makes the model smaller."""
        change = target - self.x
        turn = self.hessian(change)
        length = 1.0
        for _ in range(HALVINGS):
            x, gradient = self.x + length * change if length < 1.0 else target, self.gradient + length * turn
            value = self._value_at(x, gradient)
            if value < self._value:
                self.x, self.gradient, self._value = x, gradient, value
                return
            length /= 2.0

    def _value_at(self, x: Tensor, gradient: Tensor) -> float:
        before, slope = self._start
        smooth = 0.5 * float(((slope + gradient) * (x - before)).sum())
        return smooth + self.level * float(self.units.sizes(x).sum())


def _by_output(matrices: RowMatrices, dtype: torch.dtype) -> RowMatrices:
    """The matrix, stored output by output, since products with few outputs are then fastest."""
    diagonal, vector, blocks = matrices
    return RowMatrices(_turned(diagonal, dtype), None if vector is None else _turned(vector, dtype), blocks)


def _turned(X: Tensor, dtype: torch.dtype) -> Tensor:
    return X.to(dtype).T.contiguous().T
