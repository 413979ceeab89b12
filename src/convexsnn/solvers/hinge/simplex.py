"""Hinge loss with the l1 penalty: the dual linear program, solved by HiGHS on a growing set of columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.column_generation import generate_columns
from convexsnn.solvers.hinge.certified import CertifiedPoint
from convexsnn.solvers.hinge.restricted_lp import RestrictedLP
from convexsnn.solvers.merge_rows import equal_rows, merge_rows
from convexsnn.solvers.needs import ABSOLUTE_PENALTY, HINGE, PENALISED, Need, check_needs
from convexsnn.solvers.outputs import join_outputs, output_of, output_program

# Columns in the first restricted program. Small first rounds are what makes the dual simplex method cheaper than one
# solve over all columns.
FIRST_COLUMNS = 50


@dataclass(frozen=True)
class HingeLP:
    """Column generation on the linear program of the hinge loss, an exact method.

    With the l1 penalty the program separates over outputs. Output by output, the dual of theory.md section 2 is

        max_a sum_i a_i   subject to  0 <= a_i <= w_i,  |D^T (y a)| <= rho,   U = -y a,

    and the weights W are the multipliers of its rows. Few rows bind, so they are added in rounds: solve, price all
    columns by D^T U, add the most violated ones, and resume the dual simplex from its last basis. HiGHS computes on
    the CPU whatever the program's device.

    References
    ----------
    arXiv 2605.08022, the convex program with hinge loss; Q. Huangfu, J. Hall, Parallelizing the dual revised simplex
    method, Math. Prog. Comp. 2018 (HiGHS).
    """

    name: ClassVar[str] = "hinge_lp"
    needs: ClassVar[tuple[Need, ...]] = (HINGE, ABSOLUTE_PENALTY, PENALISED)

    def prepare(self, program: ConvexProgram) -> None:
        """Nothing."""

    def solve(
        self,
        program: ConvexProgram,
        options: SolverOptions,
        W0: Tensor | None = None,
        prepared: None = None,  # noqa: ARG002 - there is nothing
    ) -> Solution:
        """Solve to `options.tol`; columns in the support of `W0` (P, C) start in the working set."""
        check_needs(self.name, self.needs, program)
        journal = Journal(options)
        points = [
            CertifiedPoint(output_program(program, c), options.tol, output_of(W0, c)) for c in range(program.n_outputs)
        ]

        def record() -> None:
            journal.record(sum(point.best.primal for point in points), sum(point.best.dual for point in points))

        statuses, labels = {Status.CONVERGED}, None
        try:
            for point in points:
                if not point.closed:
                    labels = equal_rows(program.columns) if labels is None else labels
                    groups = merge_rows(labels, point.program.targets, program.row_weights)
                    statuses.add(_solve_output(point, RestrictedLP(point.program, groups), journal, record))
            status = next((s for s in (Status.MAX_ITER, Status.STALLED) if s in statuses), Status.CONVERGED)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        best = join_outputs([point.best for point in points])
        return conclude(program, best.W, best.U, journal, status=status, solver=self.name)


def _solve_output(
    point: CertifiedPoint, restricted: RestrictedLP, journal: Journal, record: Callable[[], None]
) -> Status:
    """Improve the point of one output until its gap is within the tolerance, or say why that failed."""
    strongest = point.products[:, 0].abs().argsort(descending=True, stable=True)[:FIRST_COLUMNS]
    first = torch.cat([strongest, point.support]).unique()
    status = generate_columns(_Master(point, restricted, journal, record, first))
    if status is not Status.STALLED:
        return status
    # What the simplex method leaves open, an interior point solve with crossover of the same program may close.
    return generate_columns(_Master(point, restricted, journal, record, first[:0], force_interior=True))


@dataclass
class _Master:
    """The linear program of one output over a growing set of columns; `first` are those of the first round."""

    point: CertifiedPoint
    restricted: RestrictedLP
    journal: Journal
    record: Callable[[], None]
    first: Tensor | None
    force_interior: bool = False

    @property
    def closed(self) -> bool:
        return self.point.closed

    @property
    def full(self) -> bool:
        return self.journal.full

    def price(self) -> Tensor | None:
        """The columns to add: at first those given, then those that violate the dual constraint most."""
        if self.first is not None:
            first, self.first = self.first, None
            return first
        violated = self.restricted.violated(self.point.products[:, 0])
        return violated if len(violated) else None

    def solve(self, new: Tensor) -> Status:
        """Add columns to the program, solve it, and certify its solution."""
        if len(new):
            self.restricted.add(new)
        solution = self.restricted.solve(self.force_interior)
        if solution is None:
            return Status.STALLED
        W, U = (values.unsqueeze(1) for values in solution)
        program = self.point.program
        self.point.best.offer_primal(W, program.primal(W))
        self.point.offer_dual(program.in_domain(U))
        self.record()
        return Status.CONVERGED
