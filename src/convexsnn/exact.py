"""Exact training: a network that no network of its family improves on by more than tol, and the proof of it."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from convexsnn.bounds import (
    Family,
    arrangement_certificate,
    enumerate_family,
    equal_inputs,
    exact_oracle,
    milp_bound,
)
from convexsnn.bounds.universal import best_scaling, in_domain, without_columns
from convexsnn.certificate import certify
from convexsnn.checks import check_choice, check_integer, check_real
from convexsnn.columns import Columns
from convexsnn.dictionary import build_dictionary
from convexsnn.global_bound import GlobalBound
from convexsnn.network import Hidden
from convexsnn.penalties import PENALTIES
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.reconstruction import reconstruct
from convexsnn.sequences import Sequences
from convexsnn.solvers import solver_for
from convexsnn.solvers.base import Solution, SolverOptions, Status
from convexsnn.solvers.hinge_linear import HingeLinear
from convexsnn.solvers.hinge_lp import HingeLP
from convexsnn.solvers.working_set import solve_by_working_set
from convexsnn.training import ProgramSettings, Trained

# Enumerations have far more columns than rows: beyond this ratio the solver sees a working set of them at a time.
WIDE = 4


@dataclass(frozen=True)
class Round:
    """One round of column generation by exact pricing.

    Attributes
    ----------
    columns : int
        Of the dictionary.
    primal, dual : float
        Objective, and the global lower bound so far.
    kappa : float
        Bound on Omega*(d^T U) / rho over the family.
    seconds : float
        Since the beginning.
    """

    columns: int
    primal: float
    dual: float
    kappa: float
    seconds: float


def solve_exactly(
    sequences: Sequences,
    targets: Tensor,
    settings: ProgramSettings,
    family: Family,
    row_weights: Tensor | None = None,
    *,
    method: str = "arrangement",
    limit: int = 20_000_000,
    time_limit: float = 600.0,
    on_round: Callable[[Round], None] | None = None,
) -> Trained:
    """Train to global optimality over a family.

    Parameters
    ----------
    sequences : Sequences
    targets : float64 tensor of shape (rows, C)
        Encoded labels.
    settings : ProgramSettings
        With rho set: beta / sqrt(P_last) depends on the number of neurons, which is an outcome here.
    family : Family
    row_weights : float64 tensor of shape (rows,), optional
        Positive; scaled to sum to one. None is uniform.
    method : {"arrangement", "milp"}
        "arrangement" solves the program over all patterns at once. "milp" generates columns: each round prices by
        mixed-integer programs, whose bound is the certificate; it needs no enumeration, and may stop with a gap.
    limit : int
        Of the patterns of "arrangement", see `enumerate_family`.
    time_limit : float
        Seconds after which "milp" begins no new round.
    on_round : callable (Round), optional
        Told after each round of "milp".

    Returns
    -------
    Trained
        Its certificate has the scope "global": its dual is the global bound. The dictionary is the patterns that carry
        weight.

    Raises
    ------
    ValueError
        Without rho, or when the family cannot be enumerated within `limit`: says what it would cost.

    Warns
    -----
    ConvergenceWarning
        When the global relative gap is above tol.

    References
    ----------
    arXiv 2605.08022 (the convex program over all realisable patterns); theory.md sections 3 and 5.
    """
    check_choice("method", method, ("arrangement", "milp"))
    check_integer("limit", limit)
    check_real("time_limit", time_limit, 0.0, open_minimum=True)
    if settings.rho is None:
        raise ValueError(
            "settings must have rho: beta / sqrt(P_last) depends on the number of neurons, an outcome here"
        )
    family.check_enumerable()
    weights = uniform_weights(len(targets)) if row_weights is None else row_weights / row_weights.sum()
    task = _Task(sequences, targets, settings, family, weights)
    all_at_once = method == "arrangement"
    trained = _over_all_patterns(task, limit) if all_at_once else _by_rounds(task, time_limit, on_round)
    if not trained.certificate.holds(settings.tol):
        warnings.warn(
            f"not certified to tol={settings.tol:g}: global relative gap {trained.certificate.relative_gap:.2e}; "
            f"{trained.status.value}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return trained


@dataclass(frozen=True, eq=False)
class _Task:
    """What is to be solved; attributes as the arguments of `solve_exactly`."""

    sequences: Sequences
    targets: Tensor
    settings: ProgramSettings
    family: Family
    weights: Tensor

    def solve(self, columns: Columns, tol: float) -> tuple[ConvexProgram, Solution]:
        """The program over these columns, and its solution."""
        loss, penalty = self.settings.loss_function, PENALTIES[self.settings.penalty]
        program = ConvexProgram(columns, self.targets, loss, penalty, self.settings.rho_for(1), self.weights)
        options, solver = SolverOptions(tol, self.settings.max_iter), solver_for(program)
        if program.n_columns <= WIDE * program.n_rows:
            return program, solver.solve(program, options)
        if solver.name == HingeLinear.name:  # the simplex method adds columns by itself, and few of them are needed
            return program, HingeLP().solve(program, options)
        return program, solve_by_working_set(solver.solve, program, options, None, solver.name)

    def conclude(
        self, hidden: Hidden, W: Tensor, U: Tensor, bound: GlobalBound, solution: Solution, seconds: dict[str, float]
    ) -> Trained:
        """The trained network of witnesses `hidden` with weights W (P_last, C), certified anew by simulating them."""
        dictionary = build_dictionary(hidden, self.sequences)
        columns = dictionary.to_columns(W)
        loss, penalty = self.settings.loss_function, PENALTIES[self.settings.penalty]
        program = ConvexProgram(dictionary.columns, self.targets, loss, penalty, self.settings.rho_for(1), self.weights)
        certificate = replace(certify(program, columns, U), dual=bound.value, scope="global")
        bound = replace(bound, primal=certificate.primal)
        certificate = certificate.with_global_bound(bound).with_spike_margin(dictionary.spike_margin)
        converged = certificate.holds(self.settings.tol)
        status = solution.status if solution.status is not Status.CONVERGED else Status.STALLED
        return Trained(
            network=reconstruct(hidden, dictionary, columns),
            witnesses=hidden,
            W=dictionary.to_neurons(columns),
            U=U,
            row_weights=self.weights,
            certificate=certificate,
            status=Status.CONVERGED if converged else status,
            solver=solution.solver,
            n_iter=solution.n_iter,
            seconds=seconds,
        )


def _over_all_patterns(task: _Task, limit: int) -> Trained:
    """Enumerate, solve once over all patterns, and find witnesses for those that carry weight."""
    begun = time.perf_counter()
    arrangement = enumerate_family(task.family, task.sequences, limit=limit)
    enumerated = time.perf_counter()
    program, solution = task.solve(arrangement.columns, task.settings.tol)
    solved = time.perf_counter()
    groups = equal_inputs(task.sequences, task.family.every_step)
    bound = arrangement_certificate(program, groups, arrangement, solution.U, solution.certificate.primal)
    kept = torch.nonzero((solution.W != 0).any(dim=1)).flatten()
    own = torch.from_numpy(arrangement.owner)[kept] >= 0
    hidden = _with_branches(task.family.simplest(), arrangement.witnesses(kept[own]), constant=task.family.constant)
    W = solution.W.new_zeros(hidden.n_last, program.n_outputs)
    first = len(task.family.units)
    W[first : first + int(own.sum())] = solution.W[kept[own]]
    if bool((~own).any()):
        W[-1] = solution.W[kept[~own]]
    seconds = {"simulate": enumerated - begun, "solve": solved - enumerated}
    seconds["reconstruct"] = time.perf_counter() - solved
    return task.conclude(hidden, W, solution.U, bound, solution, seconds)


def _by_rounds(task: _Task, time_limit: float, on_round: Callable[[Round], None] | None) -> Trained:
    """Column generation: the certificate is that of the best dual vector met, priced over the whole family."""
    begun, solving = time.perf_counter(), 0.0
    family, tol = task.family, task.settings.tol
    hidden, best_U, value, kappa = family.simplest(), torch.zeros_like(task.targets), -math.inf, math.inf
    while True:
        dictionary = build_dictionary(hidden, task.sequences)
        program, solution = task.solve(dictionary.columns, tol / 10)
        solving += solution.seconds
        bare, left = without_columns(program), time_limit - (time.perf_counter() - begun)
        U = in_domain(bare, solution.U)
        penalty = "l1" if program.n_outputs == 1 else program.penalty.name
        pricing = exact_oracle(
            U, family, task.sequences, penalty=penalty, rho=program.rho, count=16, time_limit=max(1.0, left)
        )
        scaled = best_scaling(bare, U, pricing.kappa)
        if bare.dual(scaled) > value:
            best_U, value, kappa = scaled, bare.dual(scaled), pricing.kappa
        primal = solution.certificate.primal
        if on_round is not None:
            on_round(Round(program.n_columns, primal, value, pricing.kappa, time.perf_counter() - begun))
        closed = primal - value <= tol * abs(primal)
        # A pattern of score at most rho cannot lower the objective: then the bound is what keeps the gap open.
        if closed or pricing.best <= 1.0 + 1e-9 or time.perf_counter() - begun > time_limit:
            break
        hidden = _with_branches(hidden, pricing.witnesses, constant=family.constant)
    seconds = {"simulate": time.perf_counter() - begun - solving, "solve": solving, "reconstruct": 0.0}
    bound = milp_bound(family, value, kappa, primal)
    return task.conclude(hidden, dictionary.to_neurons(solution.W), best_U, bound, solution, seconds)


def _with_branches(hidden: Hidden, more: Hidden, *, constant: bool) -> Hidden:
    """`hidden` with more branches; an always-firing neuron stays the last."""
    cut = len(hidden.branches) - constant
    return replace(hidden, branches=(*hidden.branches[:cut], *more.branches, *hidden.branches[cut:]))
