"""Large dictionaries: any solver on a working set of columns, priced against the whole dictionary between rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Best, Journal, Solution, SolverOptions, Status, conclude

# Columns of the first working set, and how many times the support a later one holds at least.
FIRST_COLUMNS = 512
SURPLUS = 2
# Where rounds are held to fewer columns than that: some beside the support, or nothing could enter.
LEAST_SURPLUS = 1.25
# A round is solved to this part of the gap that the whole dictionary has left: the columns will change anyway. The
# first gap says nothing yet, so the first round is solved to a fixed one.
ROUND_TOL = 0.2
FIRST_TOL = 0.05
# Rounds without progress after which the arithmetic is taken to be exhausted.
PATIENCE = 4

InnerSolve = Callable[[ConvexProgram, SolverOptions, Tensor | None], Solution]


def solve_by_working_set(
    solve: InnerSolve,
    program: ConvexProgram,
    options: SolverOptions,
    W0: Tensor | None,
    name: str,
    most: int | None = None,
) -> Solution:
    """Solve `program` by rounds of `solve` on few of its columns, warm-started.

    Each round keeps the support and adds the columns with the largest Omega*(d^T U): those that violate the dual
    constraint, and those next to it. A round costs one product D^T U with the whole dictionary, unpacked in blocks;
    no n x P matrix of floats is ever made. With `most`, rounds have at most so many columns, or 1.25 times the support
    where that is more: less memory, more rounds.

    References
    ----------
    Massias, Gramfort, Salmon, "Celer: a fast solver for the Lasso with dual extrapolation", ICML 2018.
    """
    journal = Journal(options)
    zero = program.targets.new_zeros(program.n_columns, program.n_outputs)
    best = Best(zero, torch.zeros_like(program.targets))
    try:
        status = _rounds(solve, program, journal, best, zero if W0 is None else W0.to(zero), most or program.n_columns)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    return conclude(program, best.W, best.U, journal, status=status, solver=name)


def _rounds(solve: InnerSolve, program: ConvexProgram, journal: Journal, best: Best, W: Tensor, most: int) -> Status:
    tol = journal.options.tol
    scores = _offer(program, best, W, program.data_gradient(program.columns.matmul(W)))
    idle, inner_tol, size = 0, FIRST_TOL, min(FIRST_COLUMNS, most)
    while best.relative_gap > tol:
        if journal.full:
            return Status.MAX_ITER
        if idle >= PATIENCE:
            return Status.STALLED
        before = best.relative_gap, best.primal
        working = _working_set(scores, W, size)
        inner = SolverOptions(max(inner_tol, 0.5 * tol), journal.options.max_iter, None)
        solution = solve(replace(program, columns=program.columns.take(working)), inner, W[working])
        W = torch.zeros_like(W)
        W[working] = solution.W
        scores = _offer(program, best, W, solution.U, solution.certificate.primal)
        journal.record(best.primal, best.dual)
        if solution.status is Status.INTERRUPTED:
            return Status.INTERRUPTED
        # Without violated columns only accuracy is missing; with them, room for more of them may be.
        violated = int((scores > program.rho * (1.0 + 1e-9)).sum())
        support = int((W != 0.0).any(dim=1).sum())
        size = max(size, min(SURPLUS * support, max(most, int(LEAST_SURPLUS * support))), min(violated, 2 * size, most))
        inner_tol = min(ROUND_TOL * best.relative_gap, inner_tol if violated else 0.1 * inner_tol)
        # While columns are few the objective falls, and the bound may not have moved yet.
        idle = 0 if best.relative_gap < 0.9 * before[0] or best.primal < 0.99 * before[1] else idle + 1
    return Status.CONVERGED


def _offer(program: ConvexProgram, best: Best, W: Tensor, U: Tensor, primal: float | None = None) -> Tensor:
    """Offer a point, its dual vector made feasible for the whole dictionary; Omega*(d^T U) of each column (P,)."""
    scores = program.penalty.row_norms(program.columns.rmatmul(U))
    kappa = max(1.0, float(scores.max()) / program.rho)
    primal = program.primal(W) if primal is None else primal
    best.offer(W, primal, U / kappa, program.dual(U / kappa))
    return scores


def _working_set(scores: Tensor, W: Tensor, size: int) -> Tensor:
    """Indices of the support of W and of the columns with the largest scores, at most `size` of these."""
    wanted = torch.zeros_like(scores, dtype=torch.bool)
    wanted[scores.argsort(descending=True, stable=True)[:size]] = True
    return torch.nonzero(wanted | (W != 0.0).any(dim=1)).flatten()
