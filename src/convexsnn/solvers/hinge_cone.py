"""Hinge loss with the row-group penalty and several outputs: a second-order cone program."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.cone_interior import ConeInteriorPoint
from convexsnn.solvers.hinge_linear import HingeLinear, HingeShared
from convexsnn.solvers.hinge_rounds import Rounds
from convexsnn.solvers.merge_rows import equal_rows, merge_rows


class HingeCone:
    """Primal-dual interior point method on a growing set of columns; see `Rounds`.

    With one output the program is a linear program and `HingeLinear` solves it.
    """

    name: ClassVar[str] = "hinge_cone"
    losses: ClassVar[frozenset[str]] = frozenset({"hinge"})
    penalties: ClassVar[frozenset[str]] = frozenset({"group"})

    def prepare(self, program: ConvexProgram) -> HingeShared:
        """Which rows of the dictionary are equal."""
        return HingeLinear().prepare(program)

    def solve(
        self,
        program: ConvexProgram,
        options: SolverOptions,
        W0: Tensor | None = None,
        prepared: HingeShared | None = None,
    ) -> Solution:
        """Solve to `options.tol`; `W0` (P, C) only helps to choose the columns of the first round."""
        if program.loss.name not in self.losses or program.penalty.name not in self.penalties:
            raise ValueError(
                f"{self.name} solves the hinge loss with the group penalty, "
                f"got {program.loss.name} with {program.penalty.name}"
            )
        if program.n_outputs == 1:
            return HingeLinear().solve(program, options, W0, prepared)
        journal = Journal(options)
        rounds = Rounds(program, ConeInteriorPoint, options.tol, W0)
        try:
            labels = equal_rows(program.columns) if prepared is None else prepared.labels
            groups = merge_rows(labels, program.targets, program.row_weights)
            status = rounds.solve(groups, journal, lambda: journal.record(rounds.primal, rounds.dual))
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        return conclude(program, rounds.W, rounds.U, journal, status=status, solver=self.name)
