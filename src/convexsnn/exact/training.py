"""Training to global optimality over a family, and refusing beforehand where that would not end."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from convexsnn.bounds import (
    Arrangement,
    NetworkFamily,
    arrangement_certificate,
    enumerate_family,
    enumeration_cost,
)
from convexsnn.caller import isolated
from convexsnn.exact.family_program import FamilyProgram, with_branches
from convexsnn.exact.rounds import ExactRound, by_rounds
from convexsnn.exact.settings import ExactSettings
from convexsnn.network import Hidden
from convexsnn.notices import warn
from convexsnn.observer import Observer
from convexsnn.problem import Problem
from convexsnn.sequences import Sequences
from convexsnn.solvers.base import Solution, SolverOptions, Status
from convexsnn.training import Trained


@isolated
def solve_exactly(
    problem: Problem,
    family: NetworkFamily,
    how: ExactSettings | None = None,
    options: SolverOptions | None = None,
    *,
    arrangement: Arrangement | None = None,
    observer: Observer | None = None,
    on_round: Callable[[ExactRound], None] | None = None,
) -> Trained:
    """Train to global optimality over a family.

    Parameters
    ----------
    problem : Problem
    family : NetworkFamily
        Of the problem's steps and intercept.
    how : ExactSettings, optional
    options : SolverOptions, optional
        The global relative gap to reach.
    arrangement : Arrangement, optional
        All patterns of this family on these sequences (`enumerate_patterns_of`), so that several programs share them.
    observer : Observer, optional
        Told of the progress.
    on_round : callable (ExactRound), optional
        Told after each round of "pricing".

    Returns
    -------
    Trained
        Its certificate has the scope "global": its dual is the global bound. The dictionary is the patterns that carry
        weight. Ctrl-C gives the best so far with the gap that it has; only while patterns are enumerated, when there
        is nothing yet, it is raised.

    Raises
    ------
    ValueError
        When the family cannot be enumerated within the limits of `how`: says what it would cost, before any of it is
        done.

    Warns
    -----
    ConvergenceWarning
        When the global relative gap is above tol.

    References
    ----------
    arXiv 2605.08022 (the convex program over all realisable patterns); theory.md sections 3 and 5.
    """
    how, options = how or ExactSettings(), options or SolverOptions()
    if (family.every_step, family.constant) != (problem.every_step, problem.intercept):
        raise ValueError("family must have the steps and the intercept of the problem")
    task = FamilyProgram(problem, family, options, observer or Observer())
    if how.method == "arrangement":
        begun = time.perf_counter()
        if arrangement is None:
            arrangement = enumerate_patterns_of(family, problem.input, how, problem.n_outputs, task.observer)
        trained = _over_all_patterns(task, arrangement, time.perf_counter() - begun)
    else:
        family.check_priceable()
        trained = by_rounds(task, how.time_limit, on_round)
    if not trained.certificate.holds(options.tol):
        open_bound = how.method == "pricing" and trained.status is Status.STALLED
        advice = "raise time_limit, or take method 'arrangement'" if open_bound else trained.status.value
        warn(
            f"not certified to tol={options.tol:g}: global relative gap {trained.certificate.relative_gap:.2e}; "
            f"{advice}",
            ConvergenceWarning,
        )
    return trained


@isolated
def enumerate_patterns_of(
    family: NetworkFamily, sequences: Sequences, how: ExactSettings, outputs: int = 1, observer: Observer | None = None
) -> Arrangement:
    """All patterns of a family; ValueError with an estimate of the cost when that is above the limits of `how`."""
    check_cost(family, sequences, how, outputs)
    tell = (observer or Observer()).begin
    return enumerate_family(
        family,
        sequences,
        limit=how.max_patterns,
        on_visit=lambda done, total: tell(f"exact: {done:.3g} of about {total:.3g} patterns visited"),
    )


def check_cost(family: NetworkFamily, sequences: Sequences, how: ExactSettings, outputs: int = 1) -> None:
    """Raise ValueError with an estimate of the cost when enumerating is above the limits of `how`."""
    cost = enumeration_cost(family, sequences, outputs)
    over = [
        f"{name} = {limit:g}"
        for name, limit, wanted in (
            ("max_patterns", how.max_patterns, cost.candidates),
            ("time_limit", how.time_limit, cost.seconds),
        )
        if wanted > limit
    ]
    if over:
        raise ValueError(
            f"enumeration would have {cost} of memory, which is more than {' and '.join(over)}: raise that, use "
            "fewer or shorter sequences or fewer features, or method = 'pricing', which may stop with a gap"
        )


def _over_all_patterns(task: FamilyProgram, arrangement: Arrangement, enumerated: float) -> Trained:
    """Solve once over all patterns, and find witnesses for those that carry weight.

    Patterns that float64 cannot give (they need exact ties) are left out, and the rest is solved again; the bound stays
    that of all patterns.
    """
    begun = time.perf_counter()
    owner = torch.from_numpy(arrangement.owner)
    allowed, first = torch.arange(len(owner)), None
    while True:
        columns = arrangement.columns if first is None else arrangement.columns.take(allowed)
        solution = task.solve(columns, task.options.tol)
        first = first or solution
        carry = torch.nonzero((solution.W != 0).any(dim=1)).flatten()
        kept = allowed[carry]
        own = owner[kept] >= 0
        found, given = arrangement.realised(kept[own])
        if bool(given.all()) or solution.status is Status.INTERRUPTED:
            break
        allowed = allowed[~torch.isin(allowed, kept[own][~given])]
    seconds = {"simulate": enumerated, "solve": time.perf_counter() - begun}
    hidden = with_branches(task.family.simplest(), found, constant=task.family.constant)
    W = _weights(task, hidden, solution, carry[own][given], carry[~own])
    begun, problem = time.perf_counter(), task.problem
    program, primal = problem.program(arrangement.columns), solution.certificate.primal
    bound = arrangement_certificate(program, problem.groups, arrangement, first.U, primal)
    seconds |= {"bound": time.perf_counter() - begun, "reconstruct": 0.0}
    return task.conclude(hidden, W, first.U, bound, solution, seconds)


def _weights(task: FamilyProgram, hidden: Hidden, solution: Solution, realised: Tensor, constant: Tensor) -> Tensor:
    """Weights of the neurons: none of the simplest ones, which come first, and of the always-firing one, the last."""
    W = solution.W.new_zeros(hidden.n_last, solution.W.shape[1])
    first = len(task.family.units)
    W[first : first + len(realised)] = solution.W[realised]
    if len(constant):
        W[-1] = solution.W[constant[0]]
    return W
