"""The program over neurons of a family, and how a solution becomes a network with a certificate of scope "global"."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from convexsnn.bounds import NetworkFamily
from convexsnn.certificate import certify
from convexsnn.columns import Columns
from convexsnn.dictionary import build_dictionary
from convexsnn.global_bound import GlobalBound
from convexsnn.losses import is_hinge
from convexsnn.network import Hidden
from convexsnn.observer import Observer
from convexsnn.penalties import require_norm
from convexsnn.problem import Problem
from convexsnn.program import check_penalised
from convexsnn.reconstruction import reconstruct
from convexsnn.solvers import solver_for
from convexsnn.solvers.base import Solution, SolverOptions, Status
from convexsnn.solvers.hinge.simplex import HingeLP
from convexsnn.solvers.working_set import solve_by_working_set
from convexsnn.training import Trained

# Enumerations have far more columns than rows: beyond this ratio the solver sees a working set of them at a time.
WIDE = 4
# A working set has at most 8 columns a row, or so many where that is more: neighbours in an arrangement differ little.
FEWEST = 2000
# What needs a norm as penalty.
TRAINING = "training to global optimality"


@dataclass(frozen=True, eq=False)
class FamilyProgram:
    """The program over neurons of a family.

    Attributes
    ----------
    problem : Problem
    family : NetworkFamily
    options : SolverOptions
        How far to solve it.
    observer : Observer

    Raises
    ------
    ValueError
        For a penalty that is no norm.
    """

    problem: Problem
    family: NetworkFamily
    options: SolverOptions = field(default_factory=SolverOptions)
    observer: Observer = field(default_factory=Observer)

    def __post_init__(self) -> None:
        require_norm(self.problem.penalty, TRAINING)
        check_penalised(self.problem, TRAINING)

    def solve(self, columns: Columns, tol: float) -> Solution:
        """A solution of the program over these columns."""
        program = self.problem.program(columns)
        options, solver = SolverOptions(tol, self.options.max_iter, self.observer.solved), solver_for(program)
        if program.n_columns <= WIDE * program.n_rows:
            return solver.solve(program, options)
        norm = require_norm(program.penalty, TRAINING)
        if is_hinge(program.loss) and norm.exponent(program.n_outputs) == 1.0:
            # The simplex method adds columns by itself, and few of them are needed.
            return HingeLP().solve(program, options)
        most = max(FEWEST, 8 * program.n_rows)
        return solve_by_working_set(solver.solve, program, options, None, solver.name, most)

    def conclude(
        self, hidden: Hidden, W: Tensor, U: Tensor, bound: GlobalBound, solution: Solution, seconds: dict[str, float]
    ) -> Trained:
        """The trained network of witnesses `hidden` with weights W (P_last, C), certified anew by simulating them."""
        dictionary = build_dictionary(hidden, self.problem.input)
        columns = dictionary.to_columns(W)
        certificate = certify(self.problem.program(dictionary.columns), columns, U)
        bound = bound.of_network(certificate.primal)
        certificate = replace(certificate, dual=bound.value, scope="global")
        certificate = certificate.with_family_bound(bound).with_spike_margin(dictionary.spike_margin)
        status = solution.status
        if certificate.holds(self.options.tol):
            status = Status.CONVERGED
        elif status is Status.CONVERGED:
            status = Status.STALLED
        return Trained(
            network=reconstruct(hidden, dictionary, columns),
            witnesses=hidden,
            W=dictionary.to_neurons(columns),
            U=U,
            row_weights=self.problem.weights,
            certificate=certificate,
            status=status,
            solver=solution.solver,
            n_iter=solution.n_iter,
            seconds=seconds,
            data_digest=self.problem.data_digest,
        )


def with_branches(hidden: Hidden, more: Hidden, *, constant: bool) -> Hidden:
    """`hidden` with more branches; an always-firing neuron stays the last."""
    cut = len(hidden.branches) - constant
    return replace(hidden, branches=(*hidden.branches[:cut], *more.branches, *hidden.branches[cut:]))
