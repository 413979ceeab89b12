"""Programs with a free intercept, by solvers of programs without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Best, Journal, Solution, Solver, SolverOptions, Status, conclude, first_solver
from convexsnn.solvers.column_generation import offer_dual
from convexsnn.solvers.needs import COLUMN_OF_ONES, FREE, Need, check_needs
from convexsnn.stretched import StretchedColumns

# The column of ones becomes one of these numbers, each from the weights of the one before, until the gap is closed.
STRETCHES = (2.0**8, 2.0**12, 2.0**18, 2.0**24)


@dataclass(frozen=True)
class FreeIntercept:
    """Gives the program with a column of s instead of ones to another solver, s a growing power of two.

    There the intercept b is s times its weight, so it costs rho |b| / s, and the dual constraint |1^T U| <= rho / s
    takes the place of 1^T U = 0. The weights are nearly optimal. What is left of 1^T U is taken out of the dual vector
    within the domain of F* before anything is claimed (`ConvexProgram.in_domain`). That changes D^T U by no more, and
    so the bound by about 1 / s of itself.

    Attributes
    ----------
    others : tuple of Solver
        In order of preference.
    """

    name: ClassVar[str] = "free_intercept"
    needs: ClassVar[tuple[Need, ...]] = (FREE, COLUMN_OF_ONES)
    others: Sequence[Solver]

    def prepare(self, program: ConvexProgram) -> dict[float, Any]:
        """What the other solver has prepared for each s; nothing yet."""
        check_needs(self.name, self.needs, program)
        first_solver(self.others, replace(program, free_intercept=False))
        return {}

    def solve(
        self,
        program: ConvexProgram,
        options: SolverOptions,
        W0: Tensor | None = None,
        prepared: dict[float, Any] | None = None,
    ) -> Solution:
        """Solve `program` to ``options.tol``, from `W0` of shape (P, C) when given."""
        check_needs(self.name, self.needs, program)
        journal, shared = Journal(options), {} if prepared is None else prepared
        closer = replace(options, tol=0.5 * options.tol)
        zero = program.targets.new_zeros(program.n_columns, program.n_outputs)
        best, W, status, used = Best(zero, torch.zeros_like(program.targets)), W0, Status.CONVERGED, self.name
        for stretch in STRETCHES:
            inner, scale = _stretched(program, stretch)
            solver = first_solver(self.others, inner)
            if stretch not in shared:
                shared[stretch] = solver.prepare(inner)
            solution = solver.solve(inner, closer, None if W is None else W / scale, shared[stretch])
            W, status, used = scale * solution.W, solution.status, f"{solver.name}, {self.name}"
            journal.entries.extend(solution.history)
            gap = best.relative_gap
            best.offer_primal(W, program.primal(W))
            offer_dual(program, best, program.in_domain(solution.U))
            if best.relative_gap <= options.tol or status is Status.INTERRUPTED or best.relative_gap >= gap:
                break
        return conclude(program, best.W, best.U, journal, status=status, solver=used)


def _stretched(program: ConvexProgram, stretch: float) -> tuple[ConvexProgram, Tensor]:
    """The program in which the weights of the column of ones are penalised at 1 / stretch, and the scale (P, 1)."""
    assert program.free_column is not None
    scale = program.row_weights.new_ones(program.n_columns)
    scale[program.free_column] = stretch
    columns = StretchedColumns(program.columns, scale)
    return replace(program, columns=columns, free_intercept=False), scale.unsqueeze(1)
