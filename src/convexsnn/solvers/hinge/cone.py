"""Hinge loss with the row-group penalty and several outputs: a second-order cone program."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.column_generation import generate_columns
from convexsnn.solvers.hinge.certified import CertifiedPoint
from convexsnn.solvers.hinge.cone_interior import ConeInteriorPoint
from convexsnn.solvers.hinge.interior_rounds import InteriorMaster
from convexsnn.solvers.hinge.linear import HingeShared
from convexsnn.solvers.merge_rows import equal_rows, merge_rows
from convexsnn.solvers.needs import EUCLIDEAN_PENALTY, HINGE, PENALISED, Need, check_needs


class HingeCone:
    """Primal-dual interior point method on a growing set of columns; see `InteriorMaster`.

    With one output the program is a linear program, which `HingeLinear` solves.
    """

    name: ClassVar[str] = "hinge_cone"
    needs: ClassVar[tuple[Need, ...]] = (HINGE, EUCLIDEAN_PENALTY, PENALISED)

    def prepare(self, program: ConvexProgram) -> HingeShared:
        """Which rows of the dictionary are equal."""
        return HingeShared(equal_rows(program.columns), {})

    def solve(
        self,
        program: ConvexProgram,
        options: SolverOptions,
        W0: Tensor | None = None,
        prepared: HingeShared | None = None,
    ) -> Solution:
        """Solve to `options.tol`; `W0` (P, C) only helps to choose the columns of the first round."""
        check_needs(self.name, self.needs, program)
        journal = Journal(options)
        point = CertifiedPoint(program, options.tol, W0)
        best = point.best
        try:
            labels = equal_rows(program.columns) if prepared is None else prepared.labels
            groups = merge_rows(labels, program.targets, program.row_weights)
            status = generate_columns(
                InteriorMaster(
                    point, ConeInteriorPoint, groups, journal, lambda: journal.record(best.primal, best.dual)
                )
            )
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        return conclude(program, best.W, best.U, journal, status=status, solver=self.name)
