"""Hinge loss with the l1 penalty: one linear program an output, solved by an interior point method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.losses import Logistic
from convexsnn.penalties import L1
from convexsnn.program import ConvexProgram
from convexsnn.solvers.active_set import ActiveSetNewton
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.hinge_lp import HingeLP, refuse_other_programs
from convexsnn.solvers.hinge_rounds import Rounds
from convexsnn.solvers.linear_interior import LinearInteriorPoint
from convexsnn.solvers.merge_rows import equal_rows, merge_rows

# Rows times squared columns up to which an interior point iteration over all columns costs little.
SMALL_WORK = 10**9
# The columns of the first round: so many times the support of the last program of a path, or of a logistic program
# solved to a rough tolerance. (MNIST, 0 against the rest: 3.5 times hold 99 % of the support of the optimum, 2.5 times
# 90 %, and a small first round is soon over.)
LEAST_COLUMNS, NEIGHBOUR_FACTOR, GUESS_FACTOR, GUESS_TOL = 128, 2.7, 2.5, 1e-2
# Beyond this share of all columns, a first round without the others saves nothing.
LARGEST_SHARE = 0.6


@dataclass(frozen=True)
class HingeShared:
    """What programs that differ in rho alone have in common: see `equal_rows`, and D^T U of each output's last dual."""

    labels: NDArray[np.int64]
    scores: dict[int, Tensor]


class HingeLinear:
    """Primal-dual interior point method, output by output, on a growing set of columns; see `Rounds`.

    What rounding leaves open (a penalty many orders of magnitude below the data term), the simplex method of `HingeLP`
    may close. With one output the row-group penalty is the l1 penalty, and is taken too.
    """

    name: ClassVar[str] = "hinge_interior"
    losses: ClassVar[frozenset[str]] = frozenset({"hinge"})
    penalties: ClassVar[frozenset[str]] = frozenset({"l1"})

    def prepare(self, program: ConvexProgram) -> HingeShared:
        """Which rows of the dictionary are equal, and which columns each output was last found to be near."""
        return HingeShared(equal_rows(program.columns), {})

    def solve(
        self,
        program: ConvexProgram,
        options: SolverOptions,
        W0: Tensor | None = None,
        prepared: HingeShared | None = None,
    ) -> Solution:
        """Solve to `options.tol`; `W0` (P, C) only helps to choose the columns of the first round."""
        refuse_other_programs(self.name, program)
        journal = Journal(options)
        near = {} if prepared is None else prepared.scores
        outputs = [_one_output(program, c, options.tol, W0) for c in range(program.n_outputs)]

        def record() -> None:
            journal.record(sum(rounds.primal for rounds in outputs), sum(rounds.dual for rounds in outputs))

        statuses = set()
        try:
            labels = None if prepared is None else prepared.labels
            for c, rounds in enumerate(outputs):
                if rounds.closed:
                    continue
                labels = equal_rows(program.columns) if labels is None else labels
                groups = merge_rows(labels, rounds.program.targets, program.row_weights)
                likely = _likely_columns(rounds.program, rounds.W, near.get(c))
                statuses.add(rounds.solve(groups, journal, record, likely))
                if not rounds.closed and not journal.full:
                    statuses.add(_close_by_simplex(rounds, options))
            status = next((s for s in (Status.INTERRUPTED, Status.MAX_ITER) if s in statuses), Status.CONVERGED)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        near.update({c: rounds.scores for c, rounds in enumerate(outputs)})
        W, U = (torch.cat([getattr(rounds, name) for rounds in outputs], dim=1) for name in ("W", "U"))
        return conclude(program, W, U, journal, status=status, solver=self.name)


def _one_output(program: ConvexProgram, c: int, tol: float, W0: Tensor | None) -> Rounds:
    part = replace(program, targets=program.targets[:, c : c + 1], penalty=L1())
    return Rounds(part, LinearInteriorPoint, tol, None if W0 is None else W0[:, c : c + 1])


def _likely_columns(program: ConvexProgram, W: Tensor, scores: Tensor | None) -> Tensor | None:
    """The columns that a program of one output is likely to use; None where all of them cost little.

    They are those nearest to the dual constraint at the last of the programs that share `scores`; else at a rough
    solution of the logistic program, whose support is much the same and which takes a small part of the time.
    """
    n, count = program.columns.shape
    if n * count**2 <= SMALL_WORK:
        return None
    if scores is not None and bool(W.any()):
        size = int(NEIGHBOUR_FACTOR * int((W != 0.0).sum()))
    else:
        smooth = replace(program, loss=Logistic())
        solution = ActiveSetNewton().solve(smooth, SolverOptions(GUESS_TOL))
        scores, size = program.columns.rmatmul(solution.U), int(GUESS_FACTOR * solution.certificate.support)
    size = max(LEAST_COLUMNS, size)
    return None if size > LARGEST_SHARE * count else scores[:, 0].abs().topk(size).indices


def _close_by_simplex(rounds: Rounds, options: SolverOptions) -> Status:
    """Resume from the best weights with the simplex method."""
    solution = HingeLP().solve(rounds.program, replace(options, callback=None), rounds.W)
    rounds.accept(solution.W, solution.certificate.primal, solution.U, solution.certificate.dual)
    return solution.status
