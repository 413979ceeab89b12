"""Bounds as what a certificate carries, and how each is proved again."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.bounds import universal
from convexsnn.bounds.family import NetworkFamily
from convexsnn.bounds.patterns.arrangement import ASSUMPTIONS, Arrangement, enumerate_family
from convexsnn.bounds.pricing.oracle import exact_oracle
from convexsnn.bounds.universal import best_scaling, in_domain, lower_bound, universal_bound, without_columns
from convexsnn.global_bound import GlobalBound, at_most
from convexsnn.network import Hidden
from convexsnn.program import ConvexProgram
from convexsnn.rounding import dictionary_kappa, pattern_kappa
from convexsnn.sequences import Sequences

# What networks with a label at every step must be for equal beginnings to be answered alike.
CAUSAL = ", and answer at a step by what they have seen up to it"
# A linear function over the box [0, 1] is largest at a corner, so that the bound is the same number.
BOXED_FAMILY = universal.FAMILY.replace("0/1 last-layer neurons", "last-layer neurons, read by numbers from 0 to 1,")
# Time for the pricing of one bound, as much as exact training gives them.
SECONDS = 600.0
# Whoever made a claim by enumeration could afford it: verification asks no less of itself.
VERIFIED_LIMIT = 10**9


def universal_certificate(
    program: ConvexProgram, groups: Tensor, hidden: Hidden, U: Tensor, primal: float
) -> GlobalBound | None:
    """The universal bound for a solution's dual vector `U` (rows, C) and objective `primal` of a network.

    None for readouts whose columns lie in another box than [0, 1]. The analog readout's lie in none: scaling hidden
    weights up and W down lowers the penalty.
    """
    if hidden.readout.box != (0.0, 1.0):
        return None
    bound = universal_bound(program, groups, (U,))
    family = (universal.FAMILY if hidden.readout.bits else BOXED_FAMILY) + (CAUSAL if hidden.every_step else "")
    value = at_most(bound.value, primal)
    return GlobalBound(value, "universal", family, bound.kappa, primal, universal.ASSUMPTIONS)


def family_kappa(program: ConvexProgram, U: Tensor, kappa: float) -> float:
    """The bound `kappa` of a family, computed in float64, rounded up; at least that of the program's own columns.

    So no rounding of potentials puts a bound above the objective of weights on them.
    """
    own = dictionary_kappa(program, U.to(program.columns.device))
    return max(pattern_kappa(without_columns(program), U.cpu(), kappa), own)


def arrangement_certificate(
    program: ConvexProgram, groups: Tensor, arrangement: Arrangement, U: Tensor, primal: float
) -> GlobalBound:
    """The bound by all patterns of a family, and the program's own columns; never below the universal one."""
    bare = without_columns(program)
    U = in_domain(bare, U.cpu())
    kappa = float(program.penalty.dual_norm(arrangement.columns.rmatmul(U))) / program.rho
    kappa = family_kappa(program, U, kappa)
    value = at_most(_value(bare, groups, U, kappa), primal)
    family, count = str(arrangement.family), arrangement.n_patterns
    return GlobalBound(value, "arrangement", family, kappa, primal, ASSUMPTIONS, count)


def pricing_certificate(
    program: ConvexProgram,
    groups: Tensor,
    family: NetworkFamily,
    sequences: Sequences,
    U: Tensor,
    primal: float,
    *,
    time_limit: float = SECONDS,
) -> GlobalBound:
    """The bound by exact pricing, also where time runs out, and the program's own columns; never below it."""
    bare = without_columns(program)
    U = in_domain(bare, U.cpu())
    priced = exact_oracle(U, family, sequences, penalty=program.penalty, rho=program.rho, time_limit=time_limit)
    kappa = family_kappa(program, U, priced.kappa)
    return pricing_bound(family, _value(bare, groups, U, kappa), kappa, primal)


def pricing_bound(family: NetworkFamily, value: float, kappa: float, primal: float) -> GlobalBound:
    """The bound that exact pricing gave, as data."""
    return GlobalBound(at_most(value, primal), "pricing", str(family), kappa, primal, ASSUMPTIONS)


def prove_again(
    claim: GlobalBound,
    program: ConvexProgram,
    groups: Tensor,
    witnesses: Hidden,
    sequences: Sequences,
    U: Tensor,
    primal: float,
) -> GlobalBound | None:
    """What can be proved now by the method of `claim` over its family, as the witnesses describe it.

    None where the readout has no bound; where the witnesses are of another family, or not of float64, of which the
    methods speak, the bound is the universal one and names their family.
    """
    if claim.method == "universal" or witnesses.readout.box != (0.0, 1.0):
        return universal_certificate(program, groups, witnesses, U, primal)
    family = NetworkFamily.of(witnesses)
    if witnesses.branches and str(family) != claim.family:
        family = NetworkFamily.of(witnesses, intercept=True)
    if str(family) != claim.family or witnesses.dtype != torch.float64:
        bound = universal_certificate(program, groups, witnesses, U, primal)
        return None if bound is None else replace(bound, family=str(family))
    if claim.method == "pricing":
        return pricing_certificate(program, groups, family, sequences, U, primal)
    return arrangement_certificate(
        program, groups, enumerate_family(family, sequences, limit=VERIFIED_LIMIT), U, primal
    )


def _value(program: ConvexProgram, groups: Tensor, U: Tensor, kappa: float) -> float:
    """The better of the scaled dual vector's value and the universal bound, whose vector is feasible here too."""
    return max(lower_bound(program, best_scaling(program, U, kappa)), universal_bound(program, groups).value)
