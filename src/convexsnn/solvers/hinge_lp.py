"""Hinge loss with the l1 penalty: the dual linear program, solved by HiGHS on a growing set of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.merge_rows import equal_rows, merge_rows
from convexsnn.solvers.restricted_lp import RestrictedLP

# Columns in the first restricted program. Small first rounds are what makes the dual simplex method cheaper than one
# solve over all columns.
FIRST_COLUMNS = 50


@dataclass(frozen=True)
class HingeLP:
    """Column generation on the linear program of the hinge loss, an exact method.

    With the l1 penalty the program separates over outputs. Output by output, the dual of theory.md section 2 is

        max_a sum_i a_i   subject to  0 <= a_i <= w_i,  |D^T (y a)| <= rho,   U = -y a,

    and the weights W are the multipliers of its rows. Few rows bind, so they are added in rounds: solve, price all
    columns by D^T U, add the most violated ones, and resume the dual simplex from its last basis. With one output
    the row-group penalty is the l1 penalty, and is taken too. HiGHS computes on the CPU whatever the program's device.

    References
    ----------
    arXiv 2605.08022, the convex program with hinge loss; Q. Huangfu, J. Hall, Parallelizing the dual revised simplex
    method, Math. Prog. Comp. 2018 (HiGHS).
    """

    name: ClassVar[str] = "hinge_lp"
    losses: ClassVar[frozenset[str]] = frozenset({"hinge"})
    penalties: ClassVar[frozenset[str]] = frozenset({"l1"})

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
        refuse_other_programs(self.name, program)
        run = _Run(program, options, W0)
        try:
            statuses = {run.solve_output(c) for c in range(program.n_outputs)}
            status = next((s for s in (Status.MAX_ITER, Status.STALLED) if s in statuses), Status.CONVERGED)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        return conclude(program, run.W, run.U, run.journal, status=status, solver=self.name)


def refuse_other_programs(name: str, program: ConvexProgram) -> None:
    """Raise ValueError unless the program is a linear one: hinge loss, and l1 penalty or one output."""
    if program.loss.name != "hinge" or (program.penalty.name != "l1" and program.n_outputs > 1):
        raise ValueError(
            f"{name} solves the hinge loss with the l1 penalty (or one output), "
            f"got {program.loss.name} with {program.penalty.name} and {program.n_outputs} outputs"
        )


class _Run:
    """One call of the solver: the best point so far, each output with its own objective and lower bound."""

    def __init__(self, program: ConvexProgram, options: SolverOptions, W0: Tensor | None) -> None:
        self.journal = Journal(options)
        self.program, self.options = program, options
        w, Y = program.row_weights, program.targets
        self.W = Y.new_zeros(program.n_columns, program.n_outputs) if W0 is None else W0.to(Y).clone()
        # At W = 0 every margin is below one, so a = w is the only dual candidate; scaled, it is the first bound.
        self.U = -Y * w.unsqueeze(1)
        self.scores = program.columns.rmatmul(self.U)
        kappa = [max(1.0, _largest(self.scores[:, c]) / program.rho) for c in range(program.n_outputs)]
        self.U /= self.U.new_tensor(kappa)
        self.dual = [float(w.sum()) / k for k in kappa]
        self.primal = [self._objective(self.W[:, c], c) for c in range(program.n_outputs)]
        for c in range(program.n_outputs):
            self._offer(torch.zeros_like(self.W[:, c]), c)
        self.labels: NDArray[np.int64] | None = None

    def solve_output(self, c: int) -> Status:
        """Improve output `c` until its gap is within the tolerance, or say why that failed."""
        if self._closed(c):
            return Status.CONVERGED
        if self.labels is None:
            self.labels = equal_rows(self.program.columns)
        groups = merge_rows(self.labels, self.program.targets[:, c : c + 1], self.program.row_weights)
        restricted = RestrictedLP(self.program, groups, c)
        strongest = self.scores[:, c].abs().argsort(descending=True, stable=True)[:FIRST_COLUMNS]
        restricted.add(torch.cat([strongest, torch.nonzero(self.W[:, c]).flatten()]).unique())
        # What the simplex method leaves open, an interior point solve with crossover of the same program may close.
        status = self._generate(restricted, c)
        return self._generate(restricted, c, force_interior=True) if status is Status.STALLED else status

    def _generate(self, restricted: RestrictedLP, c: int, force_interior: bool = False) -> Status:
        while not self.journal.full:
            point = restricted.solve(force_interior)
            if point is None:
                return Status.STALLED
            self._certify(*point, c)
            if self._closed(c):
                return Status.CONVERGED
            violated = restricted.violated(self.scores[:, c])
            if not len(violated):
                return Status.STALLED
            restricted.add(violated)
        return Status.MAX_ITER

    def _certify(self, W: Tensor, U: Tensor, c: int) -> None:
        program = self.program
        self.scores[:, c] = program.columns.rmatmul(U.unsqueeze(1)).squeeze(1)
        kappa = max(1.0, _largest(self.scores[:, c]) / program.rho)
        dual = -float(U @ program.targets[:, c]) / kappa
        self._offer(W, c)
        if dual > self.dual[c]:
            self.dual[c], self.U[:, c] = dual, U / kappa
        self.journal.record(sum(self.primal), sum(self.dual))

    def _offer(self, W: Tensor, c: int) -> None:
        objective = self._objective(W, c)
        if objective < self.primal[c]:
            self.primal[c], self.W[:, c] = objective, W

    def _objective(self, W: Tensor, c: int) -> float:
        program = self.program
        margin = 1.0 - program.targets[:, c] * program.columns.matmul(W.unsqueeze(1)).squeeze(1)
        return float(program.row_weights @ margin.clamp(min=0.0) + program.rho * W.abs().sum())

    def _closed(self, c: int) -> bool:
        # Half the tolerance leaves room for the rounding of the final certificate, which is computed afresh.
        return self.primal[c] - self.dual[c] <= 0.5 * self.options.tol * self.primal[c]


def _largest(scores: Tensor) -> float:
    return float(scores.abs().max()) if len(scores) else 0.0
