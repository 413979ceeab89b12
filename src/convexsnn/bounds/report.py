"""Bounds as what a certificate carries, and how each is proved again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.bounds import universal
from convexsnn.bounds.cells_of import cells_of
from convexsnn.bounds.family import NetworkFamily
from convexsnn.bounds.patterns.arrangement import ASSUMPTIONS, Arrangement, enumerate_family
from convexsnn.bounds.pricing.oracle import exact_oracle
from convexsnn.bounds.universal import best_scaling, universal_bound, without_columns
from convexsnn.global_bound import GlobalBound
from convexsnn.network import Hidden
from convexsnn.penalties import require_norm
from convexsnn.program import ConvexProgram
from convexsnn.rounding import Bound, dictionary_kappa, enclose_dual, grouped_kappa, pattern_kappa
from convexsnn.sequences import Sequences, SequenceSource, in_memory

# What networks with a label at every step must be for equal beginnings to be answered alike.
CAUSAL = ", and answer at a step by what they have seen up to it"
# A linear function over a box is largest at a corner, so that the bound is that of patterns of the box's corners.
BOXED_FAMILY = universal.FAMILY.replace("0/1 last-layer neurons", "last-layer neurons, read by numbers from 0 to {},")
# Time for the pricing of one bound, as much as exact training gives them.
SECONDS = 600.0
# Whoever made a claim by enumeration could afford it: verification asks no less of itself.
VERIFIED_LIMIT = 10**9
# By how much a claimed kappa is above the one that is proved, relatively.
ROOM = 2.0**-44


Stated = Callable[[Bound, float], tuple[float, float]]


def claimed(bound: Bound, kappa: float) -> tuple[float, float]:
    """Value and kappa as a certificate claims them: with room for the rounding of whoever proves them again."""
    return bound.below, math.nextafter(kappa * (1.0 + ROOM), math.inf)


def proved(bound: Bound, kappa: float) -> tuple[float, float]:
    """The best value and kappa that are proved: whoever claims more is refused."""
    return bound.provable, kappa


def universal_certificate(
    program: ConvexProgram,
    groups: Tensor,
    hidden: Hidden,
    steps: int,
    U: Tensor,
    primal: float,
    stated: Stated = claimed,
) -> GlobalBound | None:
    """The universal bound for a solution's dual vector `U` (rows, C) and objective `primal` of a network.

    None for readouts whose columns on sequences of up to `steps` steps lie in no box [0, b]. The analog readout's lie
    in none at all: scaling hidden weights up and W down lowers the penalty. `stated` says which of the numbers that are
    proved are given.
    """
    cap = hidden.readout.cap(steps, hidden.dtype)
    if cap is None:
        return None
    bound = universal_bound(program, groups, (U,), cap)
    boxed = BOXED_FAMILY.format(f"{cap!r}".removesuffix(".0"))
    family = (universal.FAMILY if hidden.readout.bits else boxed) + (CAUSAL if hidden.every_step else "")
    value, kappa = stated(bound.bound, bound.kappa)
    assumptions = universal.ASSUMPTIONS + ((universal.FREE,) if program.free_intercept else ())
    return GlobalBound(value, "universal", family, kappa, primal, assumptions)


def arrangement_certificate(
    program: ConvexProgram,
    groups: Tensor,
    arrangement: Arrangement,
    U: Tensor,
    primal: float,
    stated: Stated = claimed,
) -> GlobalBound:
    """The bound by all patterns of a family, and the program's own columns; never below the universal one."""
    bare = without_columns(program)
    U = bare.in_domain(U.cpu())
    require_norm(program.penalty, "a bound by enumeration")
    kappa = max(dictionary_kappa(replace(bare, columns=arrangement.columns), U), _own_kappa(program, U))
    value, kappa = stated(_best_bound(bare, groups, U, kappa), kappa)
    family, count = str(arrangement.family), arrangement.n_patterns
    return GlobalBound(value, "arrangement", family, kappa, primal, ASSUMPTIONS, count)


def pricing_certificate(
    program: ConvexProgram,
    groups: Tensor,
    family: NetworkFamily,
    sequences: Sequences,
    U: Tensor,
    primal: float,
    stated: Stated = claimed,
    *,
    time_limit: float = SECONDS,
) -> GlobalBound:
    """The bound by exact pricing, also where time runs out, and the program's own columns; never below it."""
    bare = without_columns(program)
    U = bare.in_domain(U.cpu())
    priced = exact_oracle(
        U, cells_of(family, sequences), penalty=program.penalty, rho=program.rho, time_limit=time_limit
    )
    kappa = priced_kappa(program, groups, U, priced.kappa)
    value, kappa = stated(_best_bound(bare, groups, U, kappa), kappa)
    return GlobalBound(value, "pricing", str(family), kappa, primal, ASSUMPTIONS, leaks=family.leaks)


def priced_kappa(program: ConvexProgram, groups: Tensor, U: Tensor, kappa: float) -> float:
    """The bound `kappa` of pricing, computed in float64, rounded up; at least that of the program's own columns.

    No pattern of a family is worth more than the best of all patterns.
    """
    bare = without_columns(program)
    of_family = min(pattern_kappa(bare, U.cpu(), kappa), grouped_kappa(bare, U.cpu(), groups.cpu()))
    return max(of_family, _own_kappa(program, U))


def pricing_bound(family: NetworkFamily, bound: Bound, kappa: float, primal: float) -> GlobalBound:
    """The bound that exact pricing gave, as data."""
    value, kappa = claimed(bound, kappa)
    return GlobalBound(value, "pricing", str(family), kappa, primal, ASSUMPTIONS, leaks=family.leaks)


def check_provable(claim: GlobalBound, sequences: SequenceSource) -> None:
    """Raise ValueError where `prove_again` needs, for a family's bound, sequences in memory that are kept elsewhere."""
    if not isinstance(sequences, Sequences):
        raise ValueError(
            f"the bound by {claim.method} looks at all sequences at once, and X is {sequences.kept}: verify it in one "
            "process, with X as one array"
        )


def prove_again(
    claim: GlobalBound,
    program: ConvexProgram,
    groups: Tensor,
    witnesses: Hidden,
    sequences: SequenceSource,
    U: Tensor,
    primal: float,
) -> GlobalBound | None:
    """The most that is proved now by the method of `claim` over its family, as the witnesses describe it.

    None where the readout has no bound, and where the witnesses are of another family or not of float64.
    """
    if claim.method == "universal":
        return universal_certificate(program, groups, witnesses, sequences.n_steps, U, primal, proved)
    family = _family_of(witnesses, claim)
    if family is None or witnesses.dtype != torch.float64:
        return None
    whole = in_memory(sequences)
    if claim.method == "pricing":
        return pricing_certificate(program, groups, family, whole, U, primal, proved)
    arrangement = enumerate_family(family, whole, limit=VERIFIED_LIMIT)
    return arrangement_certificate(program, groups, arrangement, U, primal, proved)


def _family_of(witnesses: Hidden, claim: GlobalBound) -> NetworkFamily | None:
    """The family that a claim is about, where it is one of the witnesses: the last of them may always fire."""
    for intercept in (False, True) if witnesses.branches else (False,):
        family = NetworkFamily.of(witnesses, intercept=intercept)
        try:
            family = family if claim.leaks is None else family.with_leaks(*claim.leaks)
        except ValueError:  # a neuron has another leak, as one that always fires may
            continue
        if str(family) == claim.family:
            return family
    return None


def _own_kappa(program: ConvexProgram, U: Tensor) -> float:
    """Kappa over the program's own columns: no rounding of potentials may put a bound above their objective."""
    return dictionary_kappa(program, U.to(program.columns.device))


def _best_bound(program: ConvexProgram, groups: Tensor, U: Tensor, kappa: float) -> Bound:
    """The better of the scaled dual vector's value and the universal bound, whose vector is feasible here too."""
    scaled = enclose_dual(program, best_scaling(program, U, kappa), 1.0)
    return max(scaled, universal_bound(program, groups).bound, key=lambda bound: bound.below)
