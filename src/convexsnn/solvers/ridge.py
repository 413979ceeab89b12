"""The solver for the squared loss with the ridge penalty: all rho from one decomposition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.checks import check_memory
from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.needs import RIDGE_PENALTY, SQUARED_LOSS, Need, check_needs


@dataclass(frozen=True)
class RidgeClosedForm:
    """W = (2 A^T A + rho I)^-1 2 A^T B, with A and B the columns and targets times the roots of the row weights."""

    name: ClassVar[str] = "ridge_closed_form"
    needs: ClassVar[tuple[Need, ...]] = (SQUARED_LOSS, RIDGE_PENALTY)

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
class Spectrum:
    """The eigenvalues of the smaller of A A^T and A^T A, with A the columns times the roots of the row weights.

    Attributes
    ----------
    A : float64 tensor of shape (n, P)
    B : float64 tensor of shape (n, C)
        The targets times the roots of the row weights.
    values : float64 tensor of shape (min(n, P),)
        Not negative, in ascending order.
    vectors : float64 tensor of shape (min(n, P), min(n, P))
        Eigenvectors, by columns.
    """

    A: Tensor
    B: Tensor
    values: Tensor
    vectors: Tensor

    @classmethod
    def of(cls, program: ConvexProgram) -> Spectrum:
        """Of the columns of a program; ValueError where they do not fit into memory as floats."""
        check_memory("columns for the ridge penalty take", 8 * (program.n_rows + program.n_columns) * program.n_columns)
        root = program.row_weights.sqrt().unsqueeze(1)
        A = program.columns.dense() * root
        values, vectors = torch.linalg.eigh(A @ A.T if len(A) <= A.shape[1] else A.T @ A)
        return cls(A, root * program.targets, values.clamp(min=0.0), vectors)

    def weights(self, rho: float) -> Tensor:
        """The solution W (P, C)."""
        return self._right @ (self._targets / (self.values + 0.5 * rho).unsqueeze(1))

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
            return (self.vectors @ (kept.unsqueeze(1) * self._targets)) / (self._squares @ kept).unsqueeze(1)
        leverages = self._squares @ (self.values + lam).reciprocal()
        return (self.B - self.A @ self.weights(rho)) / (1.0 - leverages).unsqueeze(1)

    def left_out_loss(self, rho: float) -> float:
        """The weighted squared error of rows that are left out."""
        return float(self.left_out_residuals(rho).square().sum())

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
