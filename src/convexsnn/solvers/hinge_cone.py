"""Hinge loss with the row-group penalty and several outputs: a second-order cone program."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.hinge_interior import InteriorPoint
from convexsnn.solvers.hinge_lp import HingeLP
from convexsnn.solvers.merge_rows import equal_rows, merge_rows

# Columns of the first restricted program, and the growth of the working set when they do not suffice. An iteration
# costs C (m P^2 + P^3), so that dictionaries of this size are solved at once and larger ones in rounds.
FIRST_COLUMNS = 1500
GROWTH = 0.5
# Iterations without a smaller complementarity after which the arithmetic is taken to be exhausted.
PATIENCE = 15


class HingeCone:
    """Primal-dual interior point method on a growing set of columns.

    The iterates are strictly dual feasible for the columns of the working set, so each gives a certificate after one
    product with the whole dictionary. Rows of W that complementarity marks as inactive are returned as exact zeros.
    With one output the program is a linear program and `HingeLP` solves it. Everything runs on the program's device.
    """

    name: ClassVar[str] = "hinge_cone"
    losses: ClassVar[frozenset[str]] = frozenset({"hinge"})
    penalties: ClassVar[frozenset[str]] = frozenset({"group"})

    def solve(self, program: ConvexProgram, options: SolverOptions, W0: Tensor | None = None) -> Solution:
        """Solve to `options.tol`; `W0` (P, C) only helps to choose the columns of the first round."""
        if program.loss.name not in self.losses or program.penalty.name not in self.penalties:
            raise ValueError(
                f"{self.name} solves the hinge loss with the group penalty, "
                f"got {program.loss.name} with {program.penalty.name}"
            )
        if program.n_outputs == 1:
            return HingeLP().solve(program, options, W0)
        run = _Run(program, options, W0)
        try:
            status = run.solve()
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        return conclude(program, run.W, run.U, run.journal, status=status, solver=self.name)


class _Run:
    """One call of the solver: the best certified point so far."""

    def __init__(self, program: ConvexProgram, options: SolverOptions, W0: Tensor | None) -> None:
        self.journal = Journal(options)
        self.program, self.options = program, options
        Y, w = program.targets, program.row_weights
        self.W = Y.new_zeros(program.n_columns, program.n_outputs)
        self.primal = float(w.sum()) * program.n_outputs
        self.U, self.dual = torch.zeros_like(Y), 0.0
        # At W = 0 every margin is below one, so a = w is the only dual candidate; scaled, it is the first bound.
        self.scores = self._offer_dual(-Y * w.unsqueeze(1))
        if W0 is not None:
            self._offer(W0.to(Y), program.primal(W0.to(Y)))

    def solve(self) -> Status:
        """Add columns until the gap over the whole dictionary is within the tolerance, or say why that failed."""
        if self._closed(self.primal, self.dual):
            return Status.CONVERGED
        program = self.program
        self.groups = merge_rows(equal_rows(program.columns), program.targets, program.row_weights)
        strongest = self.scores.norm(dim=1).argsort(descending=True, stable=True)[:FIRST_COLUMNS]
        working = torch.cat([strongest, torch.nonzero(self.W.any(dim=1)).flatten()]).unique()
        while True:
            status = self._solve_restricted(working)
            if status is not Status.CONVERGED or self._closed(self.primal, self.dual):
                return status
            violated = self._violated(working)
            if not len(violated):
                return Status.STALLED
            working = torch.cat([working, violated])

    def _solve_restricted(self, working: Tensor) -> Status:
        """Iterate until the gap over the columns `working` is within the tolerance."""
        program, groups = self.program, self.groups
        scale = float(groups.weights.mean())
        D, Y = program.columns.take(working).dense()[groups.first], program.targets[groups.first]
        point = InteriorPoint(D, Y, (groups.weights / scale).unsqueeze(1), program.rho / scale)
        best, since = float("inf"), 0
        while not self.journal.full:
            try:
                point.step()
            except ArithmeticError:
                return Status.STALLED
            primal = self._offer_weights(point, working, scale)
            self.scores = self._offer_dual(groups.spread(-Y * point.a * scale))
            self.journal.record(self.primal, self.dual)
            if self._closed(primal, point.dual * scale):
                return Status.CONVERGED
            # The gap of the sparse weights may stand still for long when rho is tiny; mu shows whether steps are made.
            mu = point.complementarity()
            best, since = (mu, 0) if mu < best else (best, since + 1)
            if since > PATIENCE:
                return Status.STALLED
        return Status.MAX_ITER

    def _offer_weights(self, point: InteriorPoint, working: Tensor, scale: float) -> float:
        """Offer the sparse weights of the iterate; their objective. The dense ones would be no certified support."""
        W = self.W.new_zeros(self.W.shape)
        sparse = point.sparse_weights()
        W[working] = sparse
        primal = point.primal(sparse) * scale
        self._offer(W, primal)
        return primal

    def _offer(self, W: Tensor, primal: float) -> None:
        if primal < self.primal:
            self.primal, self.W = primal, W

    def _offer_dual(self, U: Tensor) -> Tensor:
        """Offer a dual vector in the domain of F*; its D^T U."""
        scores = self.program.columns.rmatmul(U)
        kappa = max(1.0, float(self.program.penalty.dual_norm(scores)) / self.program.rho)
        dual = self.program.dual(U / kappa)
        if dual > self.dual:
            self.dual, self.U = dual, U / kappa
        return scores

    def _violated(self, working: Tensor) -> Tensor:
        excess = self.scores.norm(dim=1) - self.program.rho
        excess[working] = 0.0
        count = min(int((excess > 0.0).sum()), int(GROWTH * len(working)))
        return excess.argsort(descending=True, stable=True)[:count]

    def _closed(self, primal: float, dual: float) -> bool:
        # Half the tolerance leaves room for the rounding of the final certificate, which is computed afresh.
        return primal - dual <= 0.5 * self.options.tol * primal
