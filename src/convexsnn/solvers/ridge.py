"""The solver for the squared loss with the ridge penalty: all rho from one decomposition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.checks import check_memory
from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.needs import COLUMN_OF_ONES, RIDGE_PENALTY, SQUARED_LOSS, Need, check_needs


@dataclass(frozen=True)
class RidgeClosedForm:
    """W = (2 A^T A + rho I)^-1 2 A^T B, with A and B the columns and targets times the roots of the row weights.

    With a free intercept, columns and targets are less their weighted means. The intercept makes the mean of the
    outputs that of the targets.
    """

    name: ClassVar[str] = "ridge_closed_form"
    needs: ClassVar[tuple[Need, ...]] = (SQUARED_LOSS, RIDGE_PENALTY, COLUMN_OF_ONES)

    def prepare(self, program: ConvexProgram) -> Spectrum:
        """The decomposition of the columns, which all rho share."""
        return Spectrum.of(program)

    def solve(
        self,
        program: ConvexProgram,
        options: SolverOptions,
        W0: Tensor | None = None,  # noqa: ARG002 - the solution depends on no start
        prepared: Spectrum | None = None,
    ) -> Solution:
        """Solve `program` but for rounding."""
        check_needs(self.name, self.needs, program)
        journal = Journal(options)
        W = (prepared or Spectrum.of(program)).weights(program.rho)
        U = program.data_gradient(program.columns.matmul(W))
        journal.record(program.primal(W), program.dual(U))
        return conclude(program, W, U, journal, status=Status.CONVERGED, solver=self.name)


@dataclass(frozen=True, eq=False)
class Intercept:
    """What a free intercept takes out of columns and targets.

    Attributes
    ----------
    column : int
        The column of ones.
    means : float64 tensor of shape (P,)
        The weighted means of the columns.
    targets : float64 tensor of shape (C,)
        Those of the targets.
    shares : float64 tensor of shape (n,)
        The weights of the rows.
    """

    column: int
    means: Tensor
    targets: Tensor
    shares: Tensor

    @classmethod
    def of(cls, program: ConvexProgram) -> Intercept | None:
        """What a free intercept of a program adds; None where the intercept is not free."""
        w, column = program.row_weights, program.free_column
        if column is None:
            return None
        total = w.sum()
        means = program.columns.rmatmul(w.unsqueeze(1)).squeeze(1) / total
        return cls(
            column, means.index_fill(0, torch.tensor([column], device=w.device), 1.0), w @ program.targets / total, w
        )

    def within(self, W: Tensor) -> Tensor:
        """Weights (P, C) of the columns less their means as weights of the columns, with the intercept."""
        W = W.clone()
        W[self.column] = 0.0
        W[self.column] = self.targets - self.means @ W
        return W


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The eigenvalues of the smaller of A A^T and A^T A, with A the columns times the roots of the row weights.

    With a free intercept, columns and targets are less their means.

    Attributes
    ----------
    A : float64 tensor of shape (n, P)
    B : float64 tensor of shape (n, C)
        The targets times the roots of the row weights.
    values : float64 tensor of shape (min(n, P),)
        Not negative, in ascending order.
    vectors : float64 tensor of shape (min(n, P), min(n, P))
        Eigenvectors, by columns.
    intercept : Intercept or None
        Where it is free.
    """

    A: Tensor
    B: Tensor
    values: Tensor
    vectors: Tensor
    intercept: Intercept | None = None

    @classmethod
    def of(cls, program: ConvexProgram) -> Spectrum:
        """The decomposition of a program's columns; ValueError where they do not fit into memory as floats."""
        check_memory("columns for the ridge penalty take", 8 * (program.n_rows + program.n_columns) * program.n_columns)
        root = program.row_weights.sqrt().unsqueeze(1)
        A, B, intercept = program.columns.dense(), program.targets, Intercept.of(program)
        if intercept is not None:
            A, B = A - intercept.means, B - intercept.targets
        A = A * root
        values, vectors = torch.linalg.eigh(A @ A.T if len(A) <= A.shape[1] else A.T @ A)
        return cls(A, root * B, values.clamp(min=0.0), vectors, intercept)

    def weights(self, rho: float) -> Tensor:
        """The solution W (P, C)."""
        W = self._right @ (self._targets / (self.values + 0.5 * rho).unsqueeze(1))
        return W if self.intercept is None else self.intercept.within(W)

    def left_out_residuals(self, rho: float) -> Tensor:
        """Target less output of each row, by the weights that are solved for without it: shape (n, C).

        They are those with all rows divided by one less the row's leverage, the derivative of its output with respect
        to its own target (Allen's PRESS). Rows are times the roots of their weights.

        References
        ----------
        D. M. Allen, The relationship between variable selection and data augmentation, Technometrics 16 (1974).
        """
        lam = 0.5 * rho
        if self._by_rows:
            kept = lam / (self.values + lam)
            rest = self._squares @ kept
            return (self.vectors @ (kept.unsqueeze(1) * self._targets)) / self._less_own(rest).unsqueeze(1)
        leverages = self._squares @ (self.values + lam).reciprocal()
        return (self.B - self.A @ self.weights(rho)) / self._less_own(1.0 - leverages).unsqueeze(1)

    def _less_own(self, rest: Tensor) -> Tensor:
        """What is left of 1 less the leverages (n,): a free intercept adds the weight of the row to its leverage."""
        return rest if self.intercept is None else rest - self.intercept.shares

    def left_out_loss(self, rho: float) -> float:
        """The weighted squared error of rows that are left out."""
        return float(self.left_out_residuals(rho).square().sum())

    def least_loss(self, rhos: Sequence[float]) -> int:
        """The rho for which the squared residuals of rows that are left out are smallest; of equal ones the largest."""
        losses = [self.left_out_loss(rho) for rho in rhos]
        return min(range(len(rhos)), key=lambda i: (losses[i], -rhos[i]))

    @property
    def _by_rows(self) -> bool:
        return len(self.A) <= self.A.shape[1]

    @cached_property
    def _right(self) -> Tensor:
        return self.A.T @ self.vectors if self._by_rows else self.vectors

    @cached_property
    def _targets(self) -> Tensor:
        return self.vectors.T @ (self.B if self._by_rows else self.A.T @ self.B)

    @cached_property
    def _squares(self) -> Tensor:
        return self.vectors.square() if self._by_rows else (self.A @ self.vectors).square_()
