"""A tighter bound for a network that is trained already, over every network of its kind of neurons."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.bounds import NetworkFamily, arrangement_certificate
from convexsnn.caller import isolated
from convexsnn.dictionary import build_dictionary
from convexsnn.exact.family_program import FamilyProgram
from convexsnn.exact.rounds import by_rounds
from convexsnn.exact.settings import ExactSettings
from convexsnn.exact.training import enumerate_patterns_of
from convexsnn.global_bound import GlobalBound
from convexsnn.observer import Observer
from convexsnn.problem import Problem
from convexsnn.solvers.base import SolverOptions, Status
from convexsnn.training import Trained
from convexsnn.witnesses.constant import without_constant


@isolated
def bound_network(
    trained: Trained,
    problem: Problem,
    how: ExactSettings | None = None,
    options: SolverOptions | None = None,
    observer: Observer | None = None,
    *,
    leaks: tuple[float, float] | None = None,
) -> Trained:
    """The trained network with the bound over its family that `how` gives, where that says more than is known.

    The program is solved over the columns of the whole family, by enumeration or by rounds of exact pricing that begin
    with the network's own neurons. Its dual vector, kept as `Trained.family_dual`, bounds the family better than that
    of the fit, which knows the sampled columns only. Nothing else about the network changes.

    Parameters
    ----------
    trained : Trained
        Of one hidden layer of neurons that do not feed one another, in float64. For "pricing" also of two, the first of
        one to three neurons a branch.
    problem : Problem
        On which it was trained. With an intercept, the last branch of the witnesses is the always-firing neuron.
    how : ExactSettings, optional
        "arrangement" is exact: no bound over the family is better. "pricing" stops after `time_limit` seconds.
    options : SolverOptions, optional
    observer : Observer, optional
    leaks : tuple of float, optional
        The least and the largest leak: the bound is over neurons with any leaks between, each its own. For "pricing"
        only. Without it, neurons have the leaks of the network.

    Raises
    ------
    ValueError
        When the data are not those of the network, when its family has no such bound, or when the bound would cost more
        than `how` allows: says what it would cost.
    KeyboardInterrupt
        On Ctrl-C; the bound is then as it was.
    """
    how, options, certificate = how or ExactSettings(), options or SolverOptions(), trained.certificate
    if problem.data_digest != trained.data_digest:
        raise ValueError("X and y must be those that the network was trained on: their SHA-256 differs")
    family, dtype = NetworkFamily.of(trained.witnesses, intercept=problem.intercept), trained.witnesses.dtype
    (family.check_enumerable if how.method == "arrangement" else family.check_priceable)()
    if leaks is not None:
        family = family.with_leaks(*leaks)
    if dtype != torch.float64:
        raise ValueError(
            f"the network is of {dtype}, whose rounding gives patterns of its own: methods 'arrangement' and 'pricing' "
            "bound networks of float64; the universal bound holds for every dtype"
        )
    same = replace(problem.at(certificate.rho), row_weights=trained.row_weights)
    task = FamilyProgram(same, family, options, observer or Observer())
    bound, U = (_by_enumeration if how.method == "arrangement" else _by_pricing)(task, trained, how)
    stored = [before for before in (certificate.family_bound, certificate.global_bound) if before is not None]
    known = [before.value for before in stored if before.method == "universal" or before.leaks == bound.leaks]
    # The universal bound covers more networks, so of two that are equal it says more.
    if known and not bound.value > max(known) * (1.0 + options.tol / 10):
        return trained
    bound = bound.of_network(certificate.primal)
    return replace(trained, certificate=certificate.with_family_bound(bound), family_dual=U)


def _by_enumeration(task: FamilyProgram, trained: Trained, how: ExactSettings) -> tuple[GlobalBound, Tensor]:
    problem = task.problem
    arrangement = enumerate_patterns_of(task.family, problem.input, how, problem.n_outputs, task.observer)
    solution = task.solve(arrangement.columns, task.options.tol)
    if solution.status is Status.INTERRUPTED:
        raise KeyboardInterrupt  # what is known by now says nothing of whether there is a better bound
    U = solution.U
    own = problem.program(build_dictionary(trained.witnesses, problem.input).columns)
    return arrangement_certificate(own, problem.groups, arrangement, U, trained.certificate.primal), U


def _by_pricing(task: FamilyProgram, trained: Trained, how: ExactSettings) -> tuple[GlobalBound, Tensor]:
    own = without_constant(trained.witnesses) if task.family.constant else trained.witnesses
    best = by_rounds(task, how.time_limit, None, own)
    if best.status is Status.INTERRUPTED:
        raise KeyboardInterrupt(": the bound is as it was; a time limit keeps what pricing has proved by then")
    assert best.certificate.family_bound is not None
    return best.certificate.family_bound, best.U
