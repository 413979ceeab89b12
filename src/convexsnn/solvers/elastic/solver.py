"""Newton's method on the dual, for smooth losses with the elastic penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from convexsnn.penalties import Elastic
from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Best, Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.elastic.step import ElasticStep
from convexsnn.solvers.needs import ELASTIC_PENALTY, PENALISED, SMOOTH_LOSS, Need, check_needs
from convexsnn.solvers.newton.columns import ScaledColumns
from convexsnn.solvers.working_set import solve_by_working_set

# Outer iterations that improve neither the certificate nor the objective before the solver gives up.
PATIENCE = 3
# Up to this many columns are solved for at once.
FEW_COLUMNS = 512
# The first iteration's rho is at most this many times the program's.
RELAXED_LIMIT = 256.0


@dataclass(frozen=True)
class ElasticNewton:
    """Semismooth Newton on the dual of the program, whose minimum is unique and smooth; see `ElasticStep`.

    Rho falls to the program's on the way from zero, which keeps the first Newton systems small. A warm start begins
    from the scores of the weights that it is given.

    References
    ----------
    Li, Sun, Toh, "A highly efficient semismooth Newton augmented Lagrangian method for solving Lasso problems",
    SIAM J. Optim. 28 (2018).
    """

    name: ClassVar[str] = "elastic_newton"
    needs: ClassVar[tuple[Need, ...]] = (SMOOTH_LOSS, ELASTIC_PENALTY, PENALISED)

    def prepare(self, program: ConvexProgram) -> ScaledColumns | None:
        """The columns as floats, where all of them are solved for at once."""
        return None if program.n_columns > FEW_COLUMNS else _columns(program)

    def solve(
        self,
        program: ConvexProgram,
        options: SolverOptions,
        W0: Tensor | None = None,
        prepared: ScaledColumns | None = None,
    ) -> Solution:
        """Solve `program` to ``options.tol``, from `W0` of shape (P, C) when given.

        Many columns are solved for by rounds on a working set of them. Newton steps far from the optimum have most of
        the columns that they see in use.
        """
        check_needs(self.name, self.needs, program)
        if program.n_columns > FEW_COLUMNS:
            return solve_by_working_set(self._solve, program, options, W0, self.name)
        return self._solve(program, options, W0, prepared)

    def _solve(
        self,
        program: ConvexProgram,
        options: SolverOptions,
        W0: Tensor | None,
        prepared: ScaledColumns | None = None,
    ) -> Solution:
        journal = Journal(options)
        zero = program.targets.new_zeros(program.n_columns, program.n_outputs)
        best = Best(zero, torch.zeros_like(program.targets))
        step = ElasticStep(program, prepared or _columns(program), best, options.tol)
        try:
            status = _iterate(program, step, journal, best, zero if W0 is None else W0.to(zero))
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        return conclude(program, best.W, best.U, journal, status=status, solver=self.name)


def _iterate(program: ConvexProgram, step: ElasticStep, journal: Journal, best: Best, W: Tensor) -> Status:
    point = step.dual_point(program.columns.matmul(W))
    step.offer(W, float(program.data_term(point.scores)), point)
    nothing, sigma = torch.zeros_like(W), 1.0 / (program.rho * cast(Elastic, program.penalty).ridge)
    relaxed = 1.0
    if not bool(W.any()):
        relaxed = min(float(cast(Elastic, program.penalty).norm.dual_norm(point.products)) / program.rho, RELAXED_LIMIT)
    idle = 0
    while best.relative_gap > journal.options.tol:
        if journal.full:
            return Status.MAX_ITER
        if idle >= PATIENCE:
            return Status.STALLED
        gap, relaxed = best.relative_gap, max(1.0, relaxed / 2.0)
        _, point, _, _ = step.solve(nothing, point, sigma, relaxed)
        idle = 0 if relaxed > 1.0 or best.relative_gap < 0.99 * gap else idle + 1
        journal.record(best.primal, best.dual)
    return Status.CONVERGED


def _columns(program: ConvexProgram) -> ScaledColumns:
    return ScaledColumns(program.columns, program.targets.new_ones(program.n_columns, 1))
