"""Exact pricing: the pattern of a family that violates a dual vector most, with its witness weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convexsnn.bounds.arrangement import Arrangement
from convexsnn.bounds.decisions import decisions_of, positions
from convexsnn.bounds.family import Family
from convexsnn.bounds.milp import Priced, price_by_milp
from convexsnn.bounds.realise import needed_decisions, realise
from convexsnn.network import Hidden
from convexsnn.penalties import PENALTIES
from convexsnn.sequences import Sequences
from convexsnn.simulation import simulate


@dataclass(frozen=True, eq=False)
class Pricing:
    """What the best pattern is, and what no pattern exceeds.

    Attributes
    ----------
    kappa : float
        Upper bound on Omega*(d^T U) / rho over the family.
    best : float
        Omega*(d^T U) / rho of the best column of `witnesses`; 0 without one.
    witnesses : Hidden
        One-neuron branches that give the best patterns found, best first.
    exact : bool
        Whether `kappa` is the maximum itself: the search finished, and `best` attains it up to rounding.
    """

    kappa: float
    best: float
    witnesses: Hidden
    exact: bool


def exact_oracle(
    U: Tensor,
    patterns: Arrangement | Family,
    sequences: Sequences,
    *,
    penalty: str = "l1",
    rho: float = 1.0,
    count: int = 1,
    time_limit: float = 60.0,
    margin: float = 0.0,
) -> Pricing:
    """The best patterns for a dual vector.

    Parameters
    ----------
    U : float64 tensor of shape (rows, C)
    patterns : Arrangement or Family
        An arrangement is searched in full; for a family one mixed-integer program an output and sign is solved, whose
        bound is valid also where time runs out. For the row-group penalty the program bounds the norm of d^T U by the
        root of the sum over outputs of the largest squares, which is not attained in general.
    sequences : Sequences
    penalty : {"l1", "group"}
    rho : float
    count : int
        Patterns to return at most.
    time_limit : float
        Seconds for all the programs together.
    margin : float
        Of mixed-integer programs: cover only networks that keep it, see `price_by_milp`.
    """
    if isinstance(patterns, Arrangement):
        return _by_enumeration(U, patterns, PENALTIES[penalty], rho, count)
    return _by_milp(U, patterns, sequences, penalty, rho, count, time_limit, margin)


def _by_enumeration(U: Tensor, arrangement: Arrangement, penalty, rho: float, count: int) -> Pricing:
    norms = penalty.row_norms(arrangement.columns.rmatmul(U))
    order = torch.argsort(norms, descending=True, stable=True)[:count]
    best = float(norms[order[0]]) / rho if len(order) else 0.0
    return Pricing(best, best, arrangement.witnesses(order), exact=True)


def _by_milp(
    U: Tensor,
    family: Family,
    sequences: Sequences,
    penalty: str,
    rho: float,
    count: int,
    time_limit: float,
    margin: float,
) -> Pricing:
    C, programs = U.shape[1], 2 * U.shape[1] * len(family.units)
    largest = U.sum(dim=0).abs() if family.constant else U.new_zeros(C)
    finished, branches, share = True, [], time_limit / programs
    for unit in family.units:
        for c in range(C):
            for sign in (1.0, -1.0):
                scores = sign * U[:, c].numpy()
                priced = price_by_milp(unit, family, sequences, scores, time_limit=share, margin=margin)
                largest[c] = max(float(largest[c]), priced.bound)
                finished = finished and priced.finished
                branches += _branches(priced, unit, family, sequences)
    hidden = Hidden(family.n_features, tuple(branches), family.readout, family.every_step)
    kappa = float(PENALTIES[penalty].row_norm_within(largest)) / rho
    if not branches:
        return Pricing(kappa, 0.0, hidden, exact=False)
    features = simulate(hidden, sequences).features
    norms = PENALTIES[penalty].row_norms(features.to(torch.float64).T @ U)
    first: dict[bytes, int] = {}  # of neurons with the same column the first is taken
    for j, column in enumerate(features.T.numpy()):
        first.setdefault(column.tobytes(), j)
    order = sorted(first.values(), key=lambda j: -float(norms[j]))[:count]
    chosen = Hidden(family.n_features, tuple(branches[j] for j in order), family.readout, family.every_step)
    best = float(norms[order[0]]) / rho
    return Pricing(kappa, best, chosen, exact=finished and best >= kappa * (1 - 1e-8))


def _branches(priced: Priced, unit, family: Family, sequences: Sequences) -> list:
    """Branches that give the program's pattern, when some weights do, and those of other neurons that were met."""
    theta = positions(unit, family).get("threshold")
    met = priced.weights if theta is None else priced.weights[priced.weights[:, theta] > 0.0]
    others = [unit.branch(torch.from_numpy(p), family.n_features, torch.float64) for p in met]
    if priced.bits is None:
        return others
    decisions = decisions_of(unit, family, sequences)
    train = np.packbits(priced.bits.reshape(-1))
    found = realise(decisions, train, needed_decisions(decisions))
    if found is None:
        return others
    return [unit.branch(torch.from_numpy(found[0]), family.n_features, torch.float64), *others]
