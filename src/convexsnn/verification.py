"""Verifying a stored certificate: everything is computed anew from the stored parameters and the training data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.bounds import check_provable, prove_again
from convexsnn.caller import isolated
from convexsnn.certificate import Certificate, certify
from convexsnn.global_bound import GlobalBound
from convexsnn.problem import Problem
from convexsnn.program import ConvexProgram
from convexsnn.reconstruction import reconstruct
from convexsnn.rounding import enclose_dictionary_dual, enclose_primal
from convexsnn.training import Trained

# Relative error that recomputing in float64 may make (other block sizes, other BLAS).
ROUNDING = 1e-9
EPSILON = 2.0**-52
# Rounding of potentials, in units of the spacing of numbers near one in the network's dtype.
MARGIN_ROUNDING = 1e4


@dataclass(frozen=True)
class Verification:
    """The outcome of `verify`.

    Attributes
    ----------
    recomputed : Certificate or None
        What the stored weights and dual vector prove now; None when no program could be formed.
    problems : tuple of str
        Why the stored certificate does not hold; empty when it does.
    """

    recomputed: Certificate | None
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the stored certificate holds."""
        return not self.problems


@isolated
def verify(trained: Trained, stored: Certificate, problem: Problem) -> Verification:
    """Simulate the witnesses anew and recompute primal and dual from the stored W and dual vector.

    Parameters
    ----------
    trained : Trained
        What was loaded from the model file.
    stored : Certificate
        The claim to check.
    problem : Problem
        The training data, with the rho of the estimator's settings; the row weights are those of `trained`. They may be
        read in batches, or be spread over ranks (`Problem.over`), each of which then makes this call.

    Raises
    ------
    ValueError
        When the data are not in the memory of one process, and the claimed bound needs all of them there.
    """
    if stored.family_bound is not None:
        check_provable(stored.family_bound, problem.source)
    rows, outputs = problem.targets.shape
    expected = {"W": (trained.witnesses.n_last, outputs), "U": (rows, outputs), "row_weights": (rows,)}
    if trained.family_dual is not None:
        expected["family_dual"] = (rows, outputs)
    problems = [
        f"the stored {name} has shape {tuple(getattr(trained, name).shape)}, but the data and witnesses need {shape}"
        for name, shape in expected.items()
        if tuple(getattr(trained, name).shape) != shape
    ]
    problems += [
        f"the stored {name} is not finite float64"
        for name in expected
        if getattr(trained, name).dtype != torch.float64 or not bool(torch.isfinite(getattr(trained, name)).all())
    ]
    if not _close(float(trained.row_weights.sum()), 1.0):
        problems.append("the stored row_weights do not sum to one")
    if problems:
        return Verification(None, tuple(problems))
    dictionary = problem.dictionary(trained.witnesses)
    W = dictionary.to_columns(trained.W)
    try:
        problem = replace(problem, row_weights=trained.row_weights)
        program = problem.program(dictionary.columns)
        certificate = certify(program, W, trained.U).with_spike_margin(dictionary.spike_margin)
        certificate = _with_bounds(certificate, stored, program, trained, problem)
    except ValueError as error:
        return Verification(None, (str(error),))
    problems = _differences(stored, certificate, trained.witnesses.dtype)
    problems += _wrong_values(stored, program, W, trained)
    if not torch.equal(dictionary.to_neurons(W), trained.W):
        problems.append("the stored W has weights on neurons that are silent or give the column of an earlier one")
    if not reconstruct(trained.witnesses, dictionary, W).equals(trained.network):
        problems.append("the stored network is not the one that the stored witnesses and W give")
    run = problem.objective(trained.network)
    if abs(run - certificate.primal) > ROUNDING * abs(certificate.primal) + _running_error(program, W):
        problems.append(
            f"the stored network, run anew, has objective {run:.12g}, the convex program {certificate.primal:.12g}"
        )
    return Verification(certificate, tuple(problems))


def _with_bounds(
    certificate: Certificate, stored: Certificate, program: ConvexProgram, trained: Trained, problem: Problem
) -> Certificate:
    """The recomputed certificate with what can be proved anew of the stored one's bounds, and of its scope."""
    if not math.isfinite(certificate.primal):
        return certificate

    def again(claim: GlobalBound | None, U: Tensor) -> GlobalBound | None:
        if claim is None:
            return None
        return prove_again(claim, program, problem.groups, trained.witnesses, problem.source, U, certificate.primal)

    certificate = certificate.with_global_bound(again(stored.global_bound, trained.U))
    bound = again(stored.family_bound, trained.U if trained.family_dual is None else trained.family_dual)
    certificate = certificate.with_family_bound(bound)
    if stored.scope == "global" and bound is not None and bound.value >= stored.dual:
        return replace(certificate, scope="global", dual=bound.value)
    return certificate


def _differences(stored: Certificate, now: Certificate, dtype: torch.dtype) -> list[str]:
    """What the stored certificate claims and the recomputed one does not."""
    program, counts = ("loss", "penalty", "free_intercept", "heads"), ("n", "P", "C", "support", "nonzeros")
    facts = (*program, *counts, "dtype", "scope", "rounding")
    problems = [
        f"the certificate says {name} = {getattr(stored, name)!r}, recomputed: {getattr(now, name)!r}"
        for name in facts
        if getattr(stored, name) != getattr(now, name)
    ]
    if stored.scope == "global" and now.dual < stored.dual:
        problems.append(f"the certificate claims lower bound {stored.dual:.12g}, but only {now.dual:.12g} is proved")
    if not _close(stored.rho, now.rho):
        problems.append(f"the certificate says rho = {stored.rho!r}, the model's settings give {now.rho!r}")
    if not _margins_agree(stored.spike_margin, now.spike_margin, dtype):
        problems.append(f"the certificate says spike margin {stored.spike_margin}, recomputed: {now.spike_margin}")
    for name in ("family_bound", "global_bound"):
        problems += _bound_differences(name, getattr(stored, name), getattr(now, name), stored.primal)
    return problems


def _wrong_values(stored: Certificate, program: ConvexProgram, W: Tensor, trained: Trained) -> list[str]:
    """Whether objective and lower bound enclose the optimum, where what rounding may do is in the margins."""
    problems, primal = [], enclose_primal(program, W)
    if not (primal.allows_above(stored.primal) and _close(stored.primal, primal.above)):
        problems.append(f"the certificate claims objective {stored.primal:.17g}, recomputed: {primal.above:.17g}")
    if stored.scope == "global":  # its bound is that over the family, compared as such
        return problems
    U = program.in_domain(trained.U)
    dual = enclose_dictionary_dual(program, U)
    if not dual.allows_below(stored.dual):
        problems.append(f"the certificate claims lower bound {stored.dual:.17g}, but only {dual.below:.17g} is proved")
    return problems


def _running_error(program: ConvexProgram, W: Tensor) -> float:
    """How far the objective of a network that is run in float64 may be from that of its convex program.

    Scores are sums of weights times entries, in any order; the loss changes with them by its slope and its curvature.
    """
    S, Y, loss = program.columns.matmul(W), program.targets, program.loss
    count = int((W != 0).any(dim=1).sum()) + 16
    shift = 4.0 * count * EPSILON * (program.columns.largest * W.abs().sum(dim=0) + Y.abs())
    slope = (loss.gradient(S, Y).abs() * shift).sum(dim=1)
    bend = loss.value(S + shift, Y) + loss.value(S - shift, Y) - 2.0 * loss.value(S, Y)
    return float(program.row_weights @ (slope + bend.abs()))


def _bound_differences(which: str, claim: GlobalBound | None, proved: GlobalBound | None, primal: float) -> list[str]:
    """What a stored bound claims and the recomputed one does not; a certificate without one claims nothing."""
    if claim is None:
        return []
    if proved is None:
        return [f"the certificate claims a {which}, but none can be proved for the family of its neurons"]
    problems = [
        f"{which} says {name} = {getattr(claim, name)!r}, recomputed: {getattr(proved, name)!r}"
        for name in ("method", "family", "assumptions", "patterns")
        if getattr(claim, name) != getattr(proved, name)
    ]
    if claim.primal != primal:
        problems.append(f"{which} says objective {claim.primal!r}, the certificate {primal!r}")
    if not proved.kappa <= claim.kappa:
        problems.append(f"{which} claims kappa = {claim.kappa!r}, but only {proved.kappa!r} is proved")
    if not proved.value >= claim.value:
        problems.append(f"{which} claims {claim.value!r}, but only {proved.value!r} is proved")
    return problems


def _close(a: float, b: float) -> bool:
    """Equal up to rounding; nothing is close to an infinity or a NaN."""
    return math.isfinite(a) and math.isfinite(b) and abs(a - b) <= ROUNDING * max(abs(a), abs(b))


def _margins_agree(stored: float | None, now: float | None, dtype: torch.dtype) -> bool:
    """A margin is a difference of potentials, so it is compared to their rounding, not to its own size."""
    if stored is None or now is None:
        return stored is now
    return abs(stored - now) <= MARGIN_ROUNDING * torch.finfo(dtype).eps
