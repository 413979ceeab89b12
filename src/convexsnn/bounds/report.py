"""Bounds as what a certificate carries, and how each is proved again."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.bounds import arrangement as arrangements
from convexsnn.bounds import universal
from convexsnn.bounds.arrangement import Arrangement, enumerate_family
from convexsnn.bounds.family import Family
from convexsnn.bounds.oracle import exact_oracle
from convexsnn.bounds.universal import best_scaling, in_domain, lower_bound, universal_bound, without_columns
from convexsnn.global_bound import GlobalBound
from convexsnn.network import Hidden
from convexsnn.program import ConvexProgram
from convexsnn.readouts import Readout
from convexsnn.sequences import Sequences

MILP_ASSUMPTIONS = (
    "the objective has the same rho for every network",
    "float64 arithmetic; the bounds of the branch and bound are evaluated anew from the multipliers that HiGHS gives",
)
# A linear function over the box [0, 1] is largest at a corner, so that the bound is the same number.
BOXED_FAMILY = universal.FAMILY.replace("0/1 last-layer neurons", "last-layer neurons, read by numbers from 0 to 1,")
# Time for the mixed-integer programs of one bound, as much as exact training gives them.
SECONDS = 600.0
# Whoever made a claim by enumeration could afford it: verification asks no less of itself.
VERIFIED_LIMIT = 10**9


def universal_certificate(
    program: ConvexProgram, groups: Tensor, readout: Readout, U: Tensor, primal: float
) -> GlobalBound | None:
    """The universal bound for a solution's dual vector `U` (rows, C) and objective `primal`.

    None for readouts whose columns lie in another box than [0, 1]. The analog readout's lie in none: scaling hidden
    weights up and W down lowers the penalty.
    """
    if readout.box != (0.0, 1.0):
        return None
    bound = universal_bound(program, groups, (U,))
    family = universal.FAMILY if readout.bits else BOXED_FAMILY
    return GlobalBound(bound.value, "universal", family, bound.kappa, primal, universal.ASSUMPTIONS)


def arrangement_certificate(
    program: ConvexProgram, groups: Tensor, arrangement: Arrangement, U: Tensor, primal: float
) -> GlobalBound:
    """The bound by all patterns of a family; never below the universal one.

    The program's own columns count as well, so that no rounding of potentials puts the bound above the objective of
    weights on them.
    """
    bare = without_columns(program)
    U = in_domain(bare, U.cpu())
    own = program.columns.rmatmul(U.to(program.columns.device)).cpu()
    kappa = max(float(program.penalty.dual_norm(D_U)) for D_U in (arrangement.columns.rmatmul(U), own)) / program.rho
    value = _value(bare, groups, U, kappa)
    family, count = str(arrangement.family), arrangement.n_patterns
    return GlobalBound(value, "arrangement", family, kappa, primal, arrangements.ASSUMPTIONS, count)


def milp_certificate(
    program: ConvexProgram,
    groups: Tensor,
    family: Family,
    sequences: Sequences,
    U: Tensor,
    primal: float,
    *,
    time_limit: float = SECONDS,
) -> GlobalBound:
    """The bound by mixed-integer programs, also where time runs out; never below the universal one."""
    program, U = without_columns(program), in_domain(without_columns(program), U.cpu())
    penalty = "l1" if program.n_outputs == 1 else program.penalty.name
    kappa = exact_oracle(U, family, sequences, penalty=penalty, rho=program.rho, time_limit=time_limit).kappa
    return milp_bound(family, _value(program, groups, U, kappa), kappa, primal)


def milp_bound(family: Family, value: float, kappa: float, primal: float) -> GlobalBound:
    """The bound that mixed-integer programs gave, as data."""
    return GlobalBound(value, "milp", str(family), kappa, primal, MILP_ASSUMPTIONS)


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
        return universal_certificate(program, groups, witnesses.readout, U, primal)
    family = Family.of(witnesses)
    if witnesses.branches and str(family) != claim.family:
        family = Family.of(witnesses, intercept=True)
    if str(family) != claim.family or witnesses.dtype != torch.float64:
        bound = universal_certificate(program, groups, witnesses.readout, U, primal)
        return None if bound is None else replace(bound, family=str(family))
    if claim.method == "milp":
        return milp_certificate(program, groups, family, sequences, U, primal)
    return arrangement_certificate(
        program, groups, enumerate_family(family, sequences, limit=VERIFIED_LIMIT), U, primal
    )


def _value(program: ConvexProgram, groups: Tensor, U: Tensor, kappa: float) -> float:
    """The better of the scaled dual vector's value and the universal bound, whose vector is feasible here too."""
    return max(lower_bound(program, best_scaling(program, U, kappa)), universal_bound(program, groups).value)
