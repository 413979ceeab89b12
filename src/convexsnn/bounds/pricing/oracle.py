"""Exact pricing: the patterns of a family that violate a dual vector most, with neurons that give them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.bounds.patterns.arrangement import Arrangement
from convexsnn.bounds.pricing.branch_and_bound import NEAR, Goal, best_patterns
from convexsnn.bounds.pricing.protocol import PriceableCells
from convexsnn.network import Hidden
from convexsnn.penalties import Norm, Penalty, require_norm


@dataclass(frozen=True, eq=False)
class ExactPricing:
    """What the best pattern is, and what no pattern exceeds.

    Attributes
    ----------
    kappa : float
        Upper bound on Omega*(d^T U) / rho over the family.
    best : float
        Omega*(d^T U) / rho of the best column of `witnesses`; 0 without one.
    witnesses : Hidden
        Branches of one last-layer neuron that give the best patterns found, best first.
    unrealised : bool tensor of shape (k, rows)
        Good patterns of neurons in exact arithmetic, for which no neuron in float64 was found.
    finished : bool
        Whether no pattern is worth more than both `best` and rho: `kappa` is the maximum, or at most 1.
    """

    kappa: float
    best: float
    witnesses: Hidden
    unrealised: Tensor
    finished: bool


def exact_oracle(
    U: Tensor,
    patterns: Arrangement | PriceableCells,
    *,
    penalty: Penalty,
    rho: float = 1.0,
    count: int = 1,
    time_limit: float = 60.0,
) -> ExactPricing:
    """The best patterns for a dual vector.

    Parameters
    ----------
    U : float64 tensor of shape (rows, C)
    patterns : Arrangement, FamilyCells or LayeredCells
        An arrangement is searched in full; the cells of a family by branch and bound, whose bound is valid also where
        time runs out.
    penalty : Penalty
        A norm; ValueError for others.
    rho : float
    count : int
        Patterns to return at most.
    time_limit : float
        Seconds for all kinds of neurons together.
    """
    norm = require_norm(penalty, "exact pricing")
    if isinstance(patterns, Arrangement):
        return _by_enumeration(U, patterns, norm, rho, count)
    # Patterns a little below rho are told apart too: where all lie lower still, none is thought to reach it.
    goal = Goal(rho * (1.0 - 2.0 * NEAR), count, time_limit)
    return _by_branching(U.cpu(), patterns, norm, rho, goal)


def _by_enumeration(U: Tensor, arrangement: Arrangement, penalty: Norm, rho: float, count: int) -> ExactPricing:
    norms = penalty.row_norms(arrangement.columns.rmatmul(U))
    order = torch.argsort(norms, descending=True, stable=True)[:count]
    best = float(norms[order[0]]) / rho if len(order) else 0.0
    none = torch.zeros(0, len(U), dtype=torch.bool)
    return ExactPricing(best, best, arrangement.witnesses(order), none, finished=True)


def _by_branching(U: Tensor, cells: PriceableCells, penalty: Norm, rho: float, goal: Goal) -> ExactPricing:
    family, until = cells.family, time.perf_counter() + goal.time_limit
    largest = float(penalty.row_norms(U.sum(dim=0, keepdim=True).abs())[0]) if family.constant else 0.0
    finished, given, missed = True, [], []
    kinds = cells.priced(U.numpy(), penalty)
    for k, own in enumerate(kinds):
        share = max(0.0, until - time.perf_counter()) / (len(kinds) - k)
        priced = best_patterns(own, replace(goal, time_limit=share))
        largest, finished = max(largest, priced.bound), finished and priced.finished
        for found in priced.found:
            branch = own.branch(found)
            if branch is None:
                missed.append((found.value, torch.from_numpy(found.column)))
            else:
                given.append((found.value, branch))
    given = sorted(given, key=lambda pair: -pair[0])[: goal.count]
    missed = [column for _, column in sorted(missed, key=lambda pair: -pair[0])[: goal.count]]
    unrealised = torch.stack(missed) if missed else torch.zeros(0, len(U), dtype=torch.bool)
    hidden = Hidden(family.n_features, tuple(branch for _, branch in given), family.readout, family.every_step)
    return ExactPricing(largest / rho, given[0][0] / rho if given else 0.0, hidden, unrealised, finished)
