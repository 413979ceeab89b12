"""Large dictionaries: any solver on a working set of columns, priced against the whole dictionary between rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.penalties import norm_below
from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Best, Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.column_generation import generate_columns, offer_dual

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
        start = zero if W0 is None else W0.to(zero)
        status = generate_columns(_Master(solve, program, journal, best, start, most or program.n_columns))
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    return conclude(program, best.W, best.U, journal, status=status, solver=name)


class _Master:
    """The program over a working set, which is chosen anew in each round: columns may leave it."""

    def __init__(
        self, solve: InnerSolve, program: ConvexProgram, journal: Journal, best: Best, W: Tensor, most: int
    ) -> None:
        self._solve, self._program, self._journal, self._best = solve, program, journal, best
        self._most, self._size = most, min(FIRST_COLUMNS, most)
        self._idle, self._inner_tol = 0, FIRST_TOL
        self._offer(W, program.data_gradient(program.columns.matmul(W)), program.primal(W))

    @property
    def closed(self) -> bool:
        return self._best.relative_gap <= self._journal.options.tol

    @property
    def full(self) -> bool:
        return self._journal.full

    def price(self) -> Tensor | None:
        """The next working set."""
        return None if self._idle >= PATIENCE else _working_set(self._scores, self._W, self._size)

    def solve(self, new: Tensor) -> Status:
        """Solve over the working set `new`, and settle the size and the accuracy of the next round."""
        program, options, before = self._program, self._journal.options, (self._best.relative_gap, self._best.primal)
        inner = SolverOptions(max(self._inner_tol, 0.5 * options.tol), options.max_iter, None)
        solution = self._solve(replace(program, columns=program.columns.take(new)), inner, self._W[new])
        W = torch.zeros_like(self._W)
        W[new] = solution.W
        self._offer(W, solution.U, solution.certificate.primal)
        self._journal.record(self._best.primal, self._best.dual)
        if solution.status is Status.INTERRUPTED:
            return Status.INTERRUPTED
        # Without violated columns only accuracy is missing; with them, room for more of them may be.
        violated = int((self._scores > program.rho * (1.0 + 1e-9)).sum())
        support = int((W != 0.0).any(dim=1).sum())
        room = max(self._most, int(LEAST_SURPLUS * support))
        self._size = max(self._size, min(SURPLUS * support, room), min(violated, 2 * self._size, self._most))
        tol = self._inner_tol if violated else 0.1 * self._inner_tol
        self._inner_tol = min(ROUND_TOL * self._best.relative_gap, tol)
        # While columns are few the objective falls, and the bound may not have moved yet.
        moved = self._best.relative_gap < 0.9 * before[0] or self._best.primal < 0.99 * before[1]
        self._idle = 0 if moved else self._idle + 1
        return Status.CONVERGED

    def _offer(self, W: Tensor, U: Tensor, primal: float) -> None:
        """Offer weights and a dual vector, and keep Omega*(d^T U) of each column (P,)."""
        self._W = W
        self._best.offer_primal(W, primal)
        norm = norm_below(self._program.penalty, "a working set")
        self._scores = norm.row_norms(offer_dual(self._program, self._best, U))


def _working_set(scores: Tensor, W: Tensor, size: int) -> Tensor:
    """Indices of the support of W and of the columns with the largest scores, at most `size` of these."""
    wanted = torch.zeros_like(scores, dtype=torch.bool)
    wanted[scores.argsort(descending=True, stable=True)[:size]] = True
    return torch.nonzero(wanted | (W != 0.0).any(dim=1)).flatten()
