"""The Newton system of the semismooth Newton solver: a factor as preconditioner, and conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.newton.columns import ScaledColumns
from convexsnn.solvers.newton.curvature import CurvatureMatrix
from convexsnn.solvers.newton.factor import Factor, RevisedFactor
from convexsnn.solvers.newton.row_factor import RowFactor

# Unknowns beyond which one Cholesky factor over all outputs would take too much memory (float32: 400 MB).
COUPLED_LIMIT = 10_000
# Rows times outputs up to which the system is factored over the rows, where they are fewer (float64: 130 MB).
ROWS_LIMIT = 4_000
CG_LIMIT = 250
# Relative residual of the Newton system. Loose solves cost more Newton steps than they save: sigma amplifies the error.
CG_TOL = 1e-6


class Preconditioner:
    """Cholesky factors of blocks of K = J^-1 + R H R^T: one a set of coupled outputs, or one an output.

    Coupled outputs are factored together unless they have too many unknowns. Where the rows of all outputs are fewer
    than the active entries, there is one factor over these rows instead.

    Attributes
    ----------
    columns : ScaledColumns
    dtype : torch.dtype
        Arithmetic of the factors: float64 once float32 no longer helps.
    """

    def __init__(self, columns: ScaledColumns, dtype: torch.dtype) -> None:
        self.columns, self.dtype = columns, dtype
        self._kept: dict[range, tuple[CurvatureMatrix, Factor]] = {}
        self._factors: list[Factor | RevisedFactor | RowFactor] = []
        self._new = False

    def prepare(self, active: Tensor, curvature: RowMatrices, inverse: RowMatrices) -> None:
        """Factor for the active entries (P, C), the loss's curvature and the inverse Jacobian J^-1."""
        rows = curvature.diagonal.numel()
        if rows <= ROWS_LIMIT and rows < int(active.sum()):
            self._new = True
            self._factors = [RowFactor(self.columns, active, curvature, inverse)]
            return
        self._new = not self._kept
        self._factors = []
        for outputs in _coupled(active.shape[1], curvature, inverse):
            small = int(active[:, outputs.start : outputs.stop].sum()) <= COUPLED_LIMIT
            for chosen in [outputs] if small else _single(outputs):
                self._factors.append(self._factor(chosen, active, curvature, inverse))

    def _factor(
        self, outputs: range, active: Tensor, curvature: RowMatrices, inverse: RowMatrices
    ) -> Factor | RevisedFactor:
        matrix, base = self._kept.get(outputs, (None, None))
        if matrix is None or not matrix.serves(active, curvature, self.dtype):
            matrix = CurvatureMatrix(self.columns, outputs, curvature, self.dtype)
        entries = matrix.require(active)
        revised = None if base is None else base.revised(matrix, entries, inverse)
        if base is None or revised is None:
            base = Factor(matrix, entries, inverse)
        self._kept[outputs] = matrix, base
        return revised or base

    def forget(self) -> None:
        """Make everything anew for the next system."""
        self._kept = {}

    def improve(self) -> bool:
        """Make everything anew, or where that was so go over to float64; False where nothing is left to do."""
        self.forget()
        if not self._new:
            return True
        if self.dtype == torch.float64:
            return False
        self.dtype = torch.float64
        return True

    def apply(self, X: Tensor) -> Tensor:
        """The approximate K^-1 X for X of shape (P, C), zero outside the active entries."""
        out = torch.zeros_like(X)
        for factor in self._factors:
            factor.solve(X, out)
        return out


def _coupled(n_outputs: int, curvature: RowMatrices, inverse: RowMatrices) -> Sequence[range]:
    """The smallest sets of outputs between which K has no entries: a penalty of whole rows couples all of them."""
    everything = range(n_outputs)
    if inverse.vector is not None:
        return [everything]
    return _single(everything) if curvature.vector is None else curvature.blocks or [everything]


def _single(outputs: range) -> list[range]:
    return [range(c, c + 1) for c in outputs]


def conjugate_gradients(
    columns: ScaledColumns,
    active: Tensor,
    curvature: RowMatrices,
    inverse: RowMatrices,
    B: Tensor,
    preconditioner: Preconditioner,
) -> tuple[Tensor, int, bool]:
    """Solve (J^-1 + D^T H D) X = B on the active entries; X and B have shape (P, C), zero elsewhere.

    Returns X, the number of iterations, and whether `CG_TOL` was reached.
    """
    chosen = torch.nonzero(active.any(dim=1)).flatten()
    R, active = columns.rows(chosen, torch.float64), active[chosen]
    inverse = RowMatrices(inverse.diagonal[chosen], None if inverse.vector is None else inverse.vector[chosen])

    def apply(X: Tensor) -> Tensor:
        image = torch.zeros_like(X)
        X = X[chosen]
        image[chosen] = torch.where(active, R @ curvature.apply(R.T @ X) + inverse.apply(X), 0.0)
        return image

    return preconditioned(apply, preconditioner.apply, B)


def preconditioned(
    apply: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    B: Tensor,
    tol: float = CG_TOL,
    limit: int = CG_LIMIT,
    enough: float = 0.0,
) -> tuple[Tensor, int, bool]:
    """Solve A X = B by conjugate gradients, for a positive definite A and an approximate inverse M of it.

    Returns X, the number of iterations, and whether the residual R became small: in the norm <R, M R> relative to its
    first value by `tol`, or with <R, M R> at most `enough`.
    """
    X, residual = torch.zeros_like(B), B.clone()
    direction = step = precondition(residual)
    energy = first = float((residual * step).sum())
    for iteration in range(limit):
        if not energy > max(tol**2 * first, enough):
            return X, iteration, True
        image = apply(direction)
        along = float((direction * image).sum())
        # Rounding can make K indefinite along the last directions: what was found so far is the answer.
        if not along > 0.0:
            return X, iteration, False
        X += (energy / along) * direction
        residual -= (energy / along) * image
        step = precondition(residual)
        energy, previous = float((residual * step).sum()), energy
        direction = step + (energy / previous) * direction
    return X, limit, False
