"""Hinge loss with the l1 penalty: one linear program an output, solved by an interior point method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.losses import Logistic
from convexsnn.program import ConvexProgram
from convexsnn.solvers.active_set.solver import ActiveSetNewton
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.column_generation import generate_columns
from convexsnn.solvers.hinge.certified import CertifiedPoint
from convexsnn.solvers.hinge.interior_rounds import InteriorMaster
from convexsnn.solvers.hinge.linear_interior import LinearInteriorPoint
from convexsnn.solvers.hinge.simplex import HingeLP
from convexsnn.solvers.merge_rows import equal_rows, merge_rows
from convexsnn.solvers.needs import ABSOLUTE_PENALTY, HINGE, PENALISED, Need, check_needs
from convexsnn.solvers.outputs import join_outputs, output_of, output_program

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
    products: dict[int, Tensor]


class HingeLinear:
    """Primal-dual interior point method, output by output, on a growing set of columns; see `InteriorMaster`.

    What rounding leaves open (a penalty many orders of magnitude below the data term), the simplex method of `HingeLP`
    may close.
    """

    name: ClassVar[str] = "hinge_interior"
    needs: ClassVar[tuple[Need, ...]] = (HINGE, ABSOLUTE_PENALTY, PENALISED)

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
        check_needs(self.name, self.needs, program)
        journal = Journal(options)
        near = {} if prepared is None else prepared.products
        points = [
            CertifiedPoint(output_program(program, c), options.tol, output_of(W0, c)) for c in range(program.n_outputs)
        ]

        def record() -> None:
            journal.record(sum(point.best.primal for point in points), sum(point.best.dual for point in points))

        statuses = set()
        try:
            labels = None if prepared is None else prepared.labels
            for c, point in enumerate(points):
                if point.closed:
                    continue
                labels = equal_rows(program.columns) if labels is None else labels
                groups = merge_rows(labels, point.program.targets, program.row_weights)
                likely = _likely_columns(point, near.get(c))
                master = InteriorMaster(point, LinearInteriorPoint, groups, journal, record, likely)
                statuses.add(generate_columns(master))
                if not point.closed and not journal.full:
                    statuses.add(_close_by_simplex(point, options))
            status = Status.MAX_ITER if Status.MAX_ITER in statuses else Status.CONVERGED
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        near.update({c: point.products for c, point in enumerate(points)})
        best = join_outputs([point.best for point in points])
        return conclude(program, best.W, best.U, journal, status=status, solver=self.name)


def _likely_columns(point: CertifiedPoint, products: Tensor | None) -> Tensor | None:
    """The columns that a program of one output is likely to use; None where all of them cost little.

    They are those nearest to the dual constraint at the last of the programs that share `products`. Where there was
    none, a rough solution of the logistic program takes its place. Its support is much the same, and it takes a small
    part of the time.
    """
    program, W = point.program, point.best.W
    n, count = program.columns.shape
    if n * count**2 <= SMALL_WORK:
        return None
    if products is not None and bool(W.any()):
        size = int(NEIGHBOUR_FACTOR * int((W != 0.0).sum()))
    else:
        smooth = replace(program, loss=Logistic())
        solution = _unless_interrupted(ActiveSetNewton().solve(smooth, SolverOptions(GUESS_TOL)))
        products, size = program.columns.rmatmul(solution.U), int(GUESS_FACTOR * solution.certificate.support)
    size = max(LEAST_COLUMNS, size)
    return None if size > LARGEST_SHARE * count else products[:, 0].abs().topk(size).indices


def _close_by_simplex(point: CertifiedPoint, options: SolverOptions) -> Status:
    """Go on from the best weights with the simplex method."""
    solution = HingeLP().solve(point.program, replace(options, callback=None), point.best.W)
    certificate = solution.certificate
    point.best.offer(solution.W, certificate.primal, solution.U, certificate.dual)
    return _unless_interrupted(solution).status


def _unless_interrupted(solution: Solution) -> Solution:
    """The solution; an inner solver that was interrupted interrupts this one."""
    if solution.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return solution
