"""Hinge loss with the l1 penalty: one linear program an output, solved by an interior point method."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.penalties import L1
from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.hinge_lp import HingeLP, refuse_other_programs
from convexsnn.solvers.hinge_rounds import Rounds
from convexsnn.solvers.linear_interior import LinearInteriorPoint
from convexsnn.solvers.merge_rows import equal_rows, merge_rows


class HingeLinear:
    """Primal-dual interior point method, output by output, on a growing set of columns; see `Rounds`.

    What rounding leaves open (a penalty many orders of magnitude below the data term), the simplex method of `HingeLP`
    may close. With one output the row-group penalty is the l1 penalty, and is taken too.
    """

    name: ClassVar[str] = "hinge_interior"
    losses: ClassVar[frozenset[str]] = frozenset({"hinge"})
    penalties: ClassVar[frozenset[str]] = frozenset({"l1"})

    def prepare(self, program: ConvexProgram) -> NDArray[np.int64]:
        """Which rows of the dictionary are equal."""
        return equal_rows(program.columns)

    def solve(
        self,
        program: ConvexProgram,
        options: SolverOptions,
        W0: Tensor | None = None,
        prepared: NDArray[np.int64] | None = None,
    ) -> Solution:
        """Solve to `options.tol`; `W0` (P, C) only helps to choose the columns of the first round."""
        refuse_other_programs(self.name, program)
        journal = Journal(options)
        outputs = [_one_output(program, c, options.tol, W0) for c in range(program.n_outputs)]

        def record() -> None:
            journal.record(sum(rounds.primal for rounds in outputs), sum(rounds.dual for rounds in outputs))

        statuses = set()
        try:
            labels = prepared
            for rounds in outputs:
                if rounds.closed:
                    continue
                labels = equal_rows(program.columns) if labels is None else labels
                groups = merge_rows(labels, rounds.program.targets, program.row_weights)
                statuses.add(rounds.solve(groups, journal, record))
                if not rounds.closed and not journal.full:
                    statuses.add(_close_by_simplex(rounds, options))
            status = next((s for s in (Status.INTERRUPTED, Status.MAX_ITER) if s in statuses), Status.CONVERGED)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        W, U = (torch.cat([getattr(rounds, name) for rounds in outputs], dim=1) for name in ("W", "U"))
        return conclude(program, W, U, journal, status=status, solver=self.name)


def _one_output(program: ConvexProgram, c: int, tol: float, W0: Tensor | None) -> Rounds:
    part = replace(program, targets=program.targets[:, c : c + 1], penalty=L1())
    return Rounds(part, LinearInteriorPoint, tol, None if W0 is None else W0[:, c : c + 1])


def _close_by_simplex(rounds: Rounds, options: SolverOptions) -> Status:
    """Resume from the best weights with the simplex method."""
    solution = HingeLP().solve(rounds.program, replace(options, callback=None), rounds.W)
    rounds.accept(solution.W, solution.certificate.primal, solution.U, solution.certificate.dual)
    return solution.status
