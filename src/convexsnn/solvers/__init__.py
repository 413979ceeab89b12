"""Solvers of the convex program, chosen by the loss and penalty they declare."""

from __future__ import annotations

from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.active_set import ActiveSetNewton
from convexsnn.solvers.base import Callback, Progress, Solution, Solver, SolverOptions, Status
from convexsnn.solvers.hinge_cone import HingeCone
from convexsnn.solvers.hinge_linear import HingeLinear
from convexsnn.solvers.newton import SemismoothNewton

__all__ = ["SOLVERS", "Callback", "Progress", "Solution", "Solver", "SolverOptions", "Status", "solve", "solver_for"]

# In order of preference.
SOLVERS: tuple[Solver, ...] = (HingeLinear(), HingeCone(), ActiveSetNewton(), SemismoothNewton())


def solver_for(program: ConvexProgram) -> Solver:
    """The first solver that declares the program's loss and penalty."""
    penalty = (
        "l1" if program.n_outputs == 1 else program.penalty.name
    )  # of one output, the row norm is the absolute value
    for solver in SOLVERS:
        if program.loss.name in solver.losses and penalty in solver.penalties:
            return solver
    raise ValueError(f"no solver takes loss {program.loss.name!r} with penalty {program.penalty.name!r}")


def solve(program: ConvexProgram, options: SolverOptions | None = None, W0: Tensor | None = None) -> Solution:
    """Solve a convex program with the solver made for its loss and penalty, from `W0` of shape (P, C) when given."""
    return solver_for(program).solve(program, options or SolverOptions(), W0)
