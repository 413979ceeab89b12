"""The solver for the squared loss with the ridge penalty: all rho from one decomposition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.needs import COLUMN_OF_ONES, RIDGE_PENALTY, SQUARED_LOSS, Need, check_needs
from convexsnn.solvers.spectrum import Spectrum


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
