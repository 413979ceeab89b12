"""Semismooth Newton solver for smooth losses, with penalties whose proximal map has a Jacobian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.penalties import norm_below
from convexsnn.program import ConvexProgram
from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.base import Best, Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.needs import NORM_WITH_JACOBIAN, PENALISED, SMOOTH_LOSS, Need, check_needs
from convexsnn.solvers.newton.columns import DENSE_BYTES, ScaledColumns, normalised
from convexsnn.solvers.newton.proximal_step import DualPoint, ProximalStep
from convexsnn.solvers.newton.system import Preconditioner
from convexsnn.solvers.working_set import solve_by_working_set

# Outer iterations that improve neither the certificate nor the objective before the solver gives up.
PATIENCE = 12
# Newton steps within which an outer iteration counts as easy, so that sigma may grow.
EASY_STEPS = 8
GROWTH = 3.0
# The first step's rho is at most this many times the program's.
RELAXED_LIMIT = 256.0
# Up to this many entries of the dictionary, or of the weights, the factors of the Newton systems are in float64 from
# the start: they cost little, and few columns on many rows may be nearly dependent. Beyond, float32 is faster.
SMALL_ENTRIES, SMALL_WEIGHTS = 2**18, 2**9


@dataclass(frozen=True)
class SemismoothNewton:
    """Proximal point method whose steps are solved by semismooth Newton on their duals.

    Step k minimises F(D W) + rho Omega(W) + |W - W_k|^2 / (2 sigma_k). Its dual in U is smooth and strongly convex, so
    a line search makes Newton's method on it globally convergent, whatever the rank of D; the Newton systems have
    only the active entries of W as unknowns. As sigma grows the steps become Newton steps on the program itself. Every
    Newton step yields a primal and a dual point, and the best of each are kept.

    References
    ----------
    Li, Sun, Toh, "A highly efficient semismooth Newton augmented Lagrangian method for solving Lasso problems",
    SIAM J. Optim. 28 (2018), for the squared loss; theory.md section 2 for the program.
    """

    name: ClassVar[str] = "semismooth_newton"
    needs: ClassVar[tuple[Need, ...]] = (SMOOTH_LOSS, NORM_WITH_JACOBIAN, PENALISED)

    def prepare(self, program: ConvexProgram) -> Preconditioner | None:
        """The normalised columns and the factors over them, where the columns fit in `DENSE_BYTES`."""
        return None if self._is_large(program) else _preconditioner(program)

    def solve(
        self,
        program: ConvexProgram,
        options: SolverOptions,
        W0: Tensor | None = None,
        prepared: Preconditioner | None = None,
    ) -> Solution:
        """Solve `program` to ``options.tol``, from `W0` of shape (P, C) when given.

        Dictionaries that do not fit in `DENSE_BYTES` as floats are solved by rounds on a working set of columns.
        """
        check_needs(self.name, self.needs, program)
        if prepared is None and self._is_large(program):
            return solve_by_working_set(self._solve, program, options, W0, self.name)
        return self._solve(program, options, W0, prepared)

    def _is_large(self, program: ConvexProgram) -> bool:
        return 8 * program.n_rows * program.n_columns > DENSE_BYTES

    def _solve(
        self,
        program: ConvexProgram,
        options: SolverOptions,
        W0: Tensor | None,
        prepared: Preconditioner | None = None,
    ) -> Solution:
        journal = Journal(options)
        zero = program.targets.new_zeros(program.n_columns, program.n_outputs)
        best = Best(zero, torch.zeros_like(program.targets))
        status = self.improve(program, journal, best, None if W0 is None else W0.to(zero), prepared)
        return conclude(program, best.W, best.U, journal, status=status, solver=self.name)

    def improve(
        self,
        program: ConvexProgram,
        journal: Journal,
        best: Best,
        W0: Tensor | None = None,
        prepared: Preconditioner | None = None,
    ) -> Status:
        """Go on from `W0`, or the best weights so far, and keep the best of what is found in `best`."""
        try:
            return self._iterate(program, journal, best.W if W0 is None else W0, best, prepared)
        except KeyboardInterrupt:
            return Status.INTERRUPTED

    def _iterate(
        self,
        program: ConvexProgram,
        journal: Journal,
        W0: Tensor,
        best: Best,
        prepared: Preconditioner | None,
    ) -> Status:
        tol = journal.options.tol
        preconditioner = prepared or _preconditioner(program)
        columns = preconditioner.columns
        step = ProximalStep(program, preconditioner, best, tol)
        W = W0 / columns.scale
        point = step.dual_point(columns.matmul(W))
        step.offer(W, float(program.data_term(point.scores)), point)
        sigma, relaxed = _start(program, columns, W, point, step.curvature(point.scores))
        idle = 0
        while best.relative_gap > tol:
            if journal.full:
                return Status.MAX_ITER
            if idle >= PATIENCE:
                return Status.STALLED
            primal, gap = best.primal, best.relative_gap
            # A larger penalty first, halved each time, keeps the active set small on the way from zero.
            relaxed = max(1.0, relaxed / 2.0)
            W, point, steps, solved = step.solve(W, point, sigma, relaxed)
            if solved and steps <= EASY_STEPS:
                sigma *= GROWTH
            elif not solved and relaxed == 1.0:
                sigma /= GROWTH
            advanced = best.relative_gap < 0.99 * gap or primal - best.primal > 0.01 * gap * abs(primal)
            idle = 0 if advanced or relaxed > 1.0 else idle + 1
            journal.record(best.primal, best.dual)
        return Status.CONVERGED


def _preconditioner(program: ConvexProgram) -> Preconditioner:
    weights = program.n_columns * program.n_outputs
    small = program.n_rows * program.n_columns <= SMALL_ENTRIES or weights <= SMALL_WEIGHTS
    columns = normalised(program.columns, program.row_weights)
    return Preconditioner(columns, torch.float64 if small else torch.float32)


def _start(
    program: ConvexProgram, columns: ScaledColumns, W: Tensor, point: DualPoint, curvature: RowMatrices
) -> tuple[float, float]:
    """The first sigma, and the factor, within limits, that rho would need for W = 0 to be optimal (1: warm start).

    From zero, sigma is of the order of one over the curvature along a column. From a warm start it makes the
    threshold of the proximal map as large as the weights.
    """
    used = W.abs() > 0.0
    if bool(used.any()):
        thresholds = (program.rho * columns.scale).expand_as(W)
        return float((W.abs()[used] / thresholds[used]).mean()), 1.0
    norm = norm_below(program.penalty, "Newton's method")
    kappa = float(norm.dual_norm(point.products / columns.scale)) / program.rho
    return 1.0 / float((curvature.diagonal / program.row_weights.unsqueeze(1)).mean()), min(kappa, RELAXED_LIMIT)
