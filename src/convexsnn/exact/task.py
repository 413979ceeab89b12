"""What is to be solved, and how a solution becomes a trained network with a certificate of scope "global"."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from convexsnn.bounds import NetworkFamily
from convexsnn.certificate import certify
from convexsnn.columns import Columns
from convexsnn.dictionary import build_dictionary
from convexsnn.global_bound import GlobalBound
from convexsnn.network import Hidden
from convexsnn.penalties import PENALTIES
from convexsnn.program import ConvexProgram
from convexsnn.reconstruction import reconstruct
from convexsnn.sequences import Sequences
from convexsnn.solvers import solver_for
from convexsnn.solvers.base import Solution, SolverOptions, Status
from convexsnn.solvers.hinge_linear import HingeLinear
from convexsnn.solvers.hinge_lp import HingeLP
from convexsnn.solvers.working_set import solve_by_working_set
from convexsnn.training import Observer, ProgramSettings, Trained

# Enumerations have far more columns than rows: beyond this ratio the solver sees a working set of them at a time.
WIDE = 4
# A working set has at most 8 columns a row, or so many where that is more: neighbours in an arrangement differ little.
FEWEST = 2000


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be solved.

    Attributes
    ----------
    sequences : Sequences
    targets : float64 tensor of shape (rows, C)
    settings : ProgramSettings
        With rho or width.
    family : NetworkFamily
    weights : float64 tensor of shape (rows,)
        Summing to one.
    observer : Observer
    """

    sequences: Sequences
    targets: Tensor
    settings: ProgramSettings
    family: NetworkFamily
    weights: Tensor
    observer: Observer

    def program(self, columns: Columns) -> ConvexProgram:
        """The program over these columns."""
        loss, penalty = self.settings.loss_function, PENALTIES[self.settings.penalty]
        return ConvexProgram(columns, self.targets, loss, penalty, self.settings.rho_for(1), self.weights)

    def solve(self, columns: Columns, tol: float) -> Solution:
        """A solution of the program over these columns."""
        program = self.program(columns)
        options, solver = SolverOptions(tol, self.settings.max_iter, self.observer.solved), solver_for(program)
        if program.n_columns <= WIDE * program.n_rows:
            return solver.solve(program, options)
        if solver.name == HingeLinear.name:  # the simplex method adds columns by itself, and few of them are needed
            return HingeLP().solve(program, options)
        most = max(FEWEST, 8 * program.n_rows)
        return solve_by_working_set(solver.solve, program, options, None, solver.name, most)

    def conclude(
        self, hidden: Hidden, W: Tensor, U: Tensor, bound: GlobalBound, solution: Solution, seconds: dict[str, float]
    ) -> Trained:
        """The trained network of witnesses `hidden` with weights W (P_last, C), certified anew by simulating them."""
        dictionary = build_dictionary(hidden, self.sequences)
        columns = dictionary.to_columns(W)
        certificate = certify(self.program(dictionary.columns), columns, U)
        bound = bound.of_network(certificate.primal)
        certificate = replace(certificate, dual=bound.value, scope="global")
        certificate = certificate.with_global_bound(bound).with_spike_margin(dictionary.spike_margin)
        status = solution.status
        if certificate.holds(self.settings.tol):
            status = Status.CONVERGED
        elif status is Status.CONVERGED:
            status = Status.STALLED
        return Trained(
            network=reconstruct(hidden, dictionary, columns),
            witnesses=hidden,
            W=dictionary.to_neurons(columns),
            U=U,
            row_weights=self.weights,
            certificate=certificate,
            status=status,
            solver=solution.solver,
            n_iter=solution.n_iter,
            seconds=seconds,
        )


def with_branches(hidden: Hidden, more: Hidden, *, constant: bool) -> Hidden:
    """`hidden` with more branches; an always-firing neuron stays the last."""
    cut = len(hidden.branches) - constant
    return replace(hidden, branches=(*hidden.branches[:cut], *more.branches, *hidden.branches[cut:]))
