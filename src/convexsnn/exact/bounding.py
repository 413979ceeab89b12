"""A tighter bound for a network that is trained already, over every network of its kind of neurons."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.bounds import NetworkFamily, arrangement_certificate, equal_inputs
from convexsnn.dictionary import build_dictionary
from convexsnn.exact.rounds import by_rounds
from convexsnn.exact.settings import ExactSettings
from convexsnn.exact.task import Task
from convexsnn.exact.training import enumerate_patterns_of
from convexsnn.global_bound import GlobalBound
from convexsnn.sequences import Sequences
from convexsnn.training import Observer, ProgramSettings, Trained
from convexsnn.witnesses.constant import without_constant


def bound_network(
    trained: Trained,
    sequences: Sequences,
    targets: Tensor,
    settings: ProgramSettings,
    how: ExactSettings,
    *,
    intercept: bool = False,
    observer: Observer | None = None,
) -> Trained:
    """The trained network with the best global bound that `how` gives, in its certificate where it is a better one.

    The program is solved over the columns of the whole family, by enumeration or by rounds of exact pricing that begin
    with the network's own neurons. Its dual vector, kept as `Trained.global_dual`, bounds the family better than that
    of the fit, which knows the sampled columns only. Nothing else about the network changes.

    Parameters
    ----------
    trained : Trained
        Of one hidden layer of neurons that do not feed one another, in float64.
    sequences, targets, settings
        As it was trained.
    how : ExactSettings
        "arrangement" is exact: no bound over the family is better. "pricing" stops after `time_limit` seconds.
    intercept : bool
        Whether the last branch of the witnesses is an always-firing neuron.
    observer : Observer, optional

    Raises
    ------
    ValueError
        When the data are not those of the network, when its family has no such bound, or when the bound would cost more
        than `how` allows: says what it would cost.
    """
    certificate, weights = trained.certificate, trained.row_weights
    if trained.U.shape != targets.shape:
        raise ValueError(
            f"X and y must be those that the network was trained on: their targets have shape {tuple(targets.shape)}, "
            f"its own {tuple(trained.U.shape)}"
        )
    family, dtype = NetworkFamily.of(trained.witnesses, intercept=intercept), trained.witnesses.dtype
    family.check_enumerable()
    if dtype != torch.float64:
        raise ValueError(
            f"the network is of {dtype}, whose rounding gives patterns of its own: methods 'arrangement' and 'pricing' "
            "bound networks of float64; the universal bound holds for every dtype"
        )
    task = Task(sequences, targets, replace(settings, rho=certificate.rho), family, weights, observer or Observer())
    bound, U = (_by_enumeration if how.method == "arrangement" else _by_pricing)(task, trained, how)
    before = certificate.global_bound
    # The universal bound covers more networks, so of two that are equal it says more.
    if before is not None and not bound.value > before.value * (1.0 + settings.tol / 10):
        return trained
    bound = bound.of_network(certificate.primal)
    return replace(trained, certificate=certificate.with_global_bound(bound), global_dual=U)


def _by_enumeration(task: Task, trained: Trained, how: ExactSettings) -> tuple[GlobalBound, Tensor]:
    arrangement = enumerate_patterns_of(task.family, task.sequences, how, task.targets.shape[1], task.observer)
    U = task.solve(arrangement.columns, task.settings.tol).U
    own = build_dictionary(trained.witnesses, task.sequences).columns
    groups = equal_inputs(task.sequences, task.family.every_step)
    return arrangement_certificate(task.program(own), groups, arrangement, U, trained.certificate.primal), U


def _by_pricing(task: Task, trained: Trained, how: ExactSettings) -> tuple[GlobalBound, Tensor]:
    own = without_constant(trained.witnesses) if task.family.constant else trained.witnesses
    best = by_rounds(task, how.time_limit, None, own)
    assert best.certificate.global_bound is not None
    return best.certificate.global_bound, best.U
