"""Column generation by exact pricing: no enumeration, and a bound also where time runs out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from convexsnn.bounds import exact_oracle, pricing_bound, universal_bound, universal_kappa
from convexsnn.bounds.report import own_kappa
from convexsnn.bounds.universal import best_scaling, in_domain, lower_bound
from convexsnn.dictionary import build_dictionary
from convexsnn.exact.family_program import FamilyProgram, with_branches
from convexsnn.network import Hidden
from convexsnn.solvers.base import Status
from convexsnn.training import Trained

# Patterns added a round, at most.
ADDED = 16
# Share of the time for the pricing of the first rounds: good patterns are found long before it is proved that there are
# no better ones. It grows by this factor whenever none is found.
FIRST_SHARE, GROWTH = 1 / 20, 4.0


@dataclass(frozen=True)
class ExactRound:
    """One round of column generation by exact pricing.

    Attributes
    ----------
    columns : int
        Of the dictionary.
    primal : float
        Objective.
    dictionary_dual : float
        No weights on this round's dictionary reach less.
    dual : float
        The global lower bound so far.
    kappa : float
        Bound on Omega*(d^T U) / rho over the family.
    seconds : float
        Since the beginning.
    """

    columns: int
    primal: float
    dictionary_dual: float
    dual: float
    kappa: float
    seconds: float


def by_rounds(
    task: FamilyProgram, time_limit: float, on_round: Callable[[ExactRound], None] | None, start: Hidden | None = None
) -> Trained:
    """The certificate is that of the best dual vector met, priced over the whole family; `start` has neurons of it."""
    begun, solving = time.perf_counter(), 0.0
    problem, family, tol = task.problem, task.family, task.options.tol
    seconds = lambda: time.perf_counter() - begun  # noqa: E731
    hidden = family.simplest()
    if start is not None:
        hidden = with_branches(hidden, start, constant=family.constant)
    dictionary = build_dictionary(hidden, problem.input)
    bare, groups = problem.bare_program, problem.groups
    # What holds before anything is priced, and if nothing ever is.
    universal = universal_bound(bare, groups)
    best_U, value = universal.U, universal.value
    kappa = universal_kappa(best_U, groups, bare.penalty, bare.rho)
    solution = task.solve(dictionary.columns, tol / 10)
    solving += solution.seconds
    share = FIRST_SHARE * time_limit
    try:
        while solution.status is not Status.INTERRUPTED:
            U, left = in_domain(bare, solution.U), max(1.0, time_limit - seconds())
            pricing = exact_oracle(
                U, family, problem.input, penalty=bare.penalty, rho=bare.rho, count=ADDED, time_limit=min(left, share)
            )
            own = max(pricing.kappa, own_kappa(problem.program(dictionary.columns), U))
            scaled = best_scaling(bare, U, own)
            if lower_bound(bare, scaled) > value:
                best_U, value, kappa = scaled, lower_bound(bare, scaled), own
            certificate = solution.certificate
            entry = ExactRound(certificate.P, certificate.primal, certificate.dual, value, pricing.kappa, seconds())
            task.observer.begin(
                f"exact: {entry.columns} columns, objective {entry.primal:.6g}, no network below {entry.dual:.6g}"
            )
            if on_round is not None:
                on_round(entry)
            closed = entry.primal - value <= tol * abs(entry.primal)
            if closed or seconds() > time_limit:
                break
            # A pattern of score at most rho cannot lower the objective: then the bound is what keeps the gap open.
            if pricing.best <= 1.0 + 1e-9:
                if pricing.finished or share >= left:
                    break
                share *= GROWTH
                continue
            wider = with_branches(hidden, pricing.witnesses, constant=family.constant)
            more = build_dictionary(wider, problem.input)
            following = task.solve(more.columns, tol / 10)
            hidden, dictionary, solution = wider, more, following
            solving += solution.seconds
    except KeyboardInterrupt:
        solution = replace(solution, status=Status.INTERRUPTED)
    times = {"simulate": 0.0, "solve": solving, "bound": seconds() - solving, "reconstruct": 0.0}
    bound = pricing_bound(family, value, kappa, solution.certificate.primal)
    return task.conclude(hidden, dictionary.to_neurons(solution.W), best_U, bound, solution, times)
