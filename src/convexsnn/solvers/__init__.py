"""Solvers of the convex program, chosen by what they need of its loss and penalty."""

from __future__ import annotations

from torch import Tensor

from convexsnn.caller import isolated, paced
from convexsnn.program import ConvexProgram
from convexsnn.solvers.active_set.solver import ActiveSetNewton
from convexsnn.solvers.base import Callback, Progress, Solution, Solver, SolverOptions, Status, first_solver
from convexsnn.solvers.elastic.solver import ElasticNewton
from convexsnn.solvers.free_intercept import FreeIntercept
from convexsnn.solvers.hinge.cone import HingeCone
from convexsnn.solvers.hinge.linear import HingeLinear
from convexsnn.solvers.newton.solver import SemismoothNewton
from convexsnn.solvers.ridge import RidgeClosedForm

__all__ = ["SOLVERS", "Callback", "Progress", "Solution", "Solver", "SolverOptions", "Status", "solve", "solver_for"]

# In order of preference; the intercept of their programs is penalised.
_PENALISED: tuple[Solver, ...] = (
    HingeLinear(),
    HingeCone(),
    ActiveSetNewton(),
    SemismoothNewton(),
    ElasticNewton(),
    RidgeClosedForm(),
)
SOLVERS: tuple[Solver, ...] = (*_PENALISED, FreeIntercept(_PENALISED))


def solver_for(program: ConvexProgram) -> Solver:
    """The first solver whose needs the program meets.

    Raises
    ------
    ValueError
        Where there is none: says what each of them misses.
    """
    return first_solver(SOLVERS, program)


@isolated
@paced(lambda program, *_, **__: program.n_rows * program.n_columns)
def solve(program: ConvexProgram, options: SolverOptions | None = None, W0: Tensor | None = None) -> Solution:
    """Solve a convex program with the solver made for its loss and penalty, from `W0` of shape (P, C) when given."""
    return solver_for(program).solve(program, options or SolverOptions(), W0)
