"""Ridge readout, the paper's R: squared weights in place of absolute ones, so the solution has a closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_real
from convexsnn.network import Hidden, Network
from convexsnn.sequences import Sequences
from convexsnn.simulation import simulate_chunks
from convexsnn.validation import Validation

LAMBDAS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""The paper's range."""


@dataclass(frozen=True)
class RidgePoint:
    """One lambda: the penalised sum of squares at its solution, and the score on validation data, if there are any."""

    lam: float
    objective: float
    validation_score: float | None


@dataclass(frozen=True, eq=False)
class RidgeFit:
    """A network with a ridge readout.

    Attributes
    ----------
    network : Network
    lam : float
        The lambda picked: of the best validation score, and of equal scores the largest.
    path : tuple of RidgePoint
        One point for each lambda, from the largest to the smallest.
    """

    network: Network
    lam: float
    path: tuple[RidgePoint, ...] = field(repr=False)


@isolated
def ridge_path(features: Tensor, targets: Tensor, lambdas: Sequence[float]) -> list[Tensor]:
    """argmin_W |features W - targets|^2 + lambda |W|^2 for every lambda, from one factorisation.

    Parameters
    ----------
    features : float64 tensor of shape (n, P)
    targets : float64 tensor of shape (n, C)
    lambdas : sequence of float
        The weights of the penalty, more than 0.

    Returns
    -------
    list of float64 tensors of shape (P, C)
    """
    lambdas = [check_real("lambdas", lam, 0.0, open_minimum=True) for lam in lambdas]
    n, P = features.shape
    # The smaller of the two Gram matrices has all the eigenvalues that matter.
    if n < P:
        values, vectors = torch.linalg.eigh(features @ features.T)
        left, right = features.T @ vectors, vectors.T @ targets
    else:
        values, vectors = torch.linalg.eigh(features.T @ features)
        left, right = vectors, vectors.T @ (features.T @ targets)
    values = values.clamp(min=0.0)
    return [left @ (right / (values + lam).unsqueeze(1)) for lam in lambdas]


@isolated
def fit_ridge(
    hidden: Hidden,
    sequences: Sequences,
    targets: Tensor,
    lambdas: Sequence[float] = LAMBDAS,
    validation: Validation | None = None,
) -> RidgeFit:
    """Simulate `hidden` once and fit ridge readouts.

    Parameters
    ----------
    hidden : Hidden
        The paper reads the membrane itself (readout "analog"); columns of zeros and ones do as well.
    sequences : Sequences
    targets : float64 tensor of shape (rows, C)
    lambdas : sequence of float
    validation : Validation, optional
        Needed to pick one of several lambdas.

    Raises
    ------
    ValueError
        When a lambda is not positive, or there is more than one and no validation data.
    """
    ordered = sorted({check_real("lambdas", lam, 0.0, open_minimum=True) for lam in lambdas}, reverse=True)
    if not ordered:
        raise ValueError("lambdas must hold at least one number")
    if len(ordered) > 1 and validation is None:
        raise ValueError("one of several lambdas is picked by validation: give validation, or a single lambda")
    features = torch.cat([part.features.to(torch.float64) for part in simulate_chunks(hidden, sequences)])
    solutions = ridge_path(features, targets.to(features.device), ordered)
    held = None
    if validation is not None:
        held = torch.cat([p.features.to(torch.float64) for p in simulate_chunks(hidden, validation.sequences)])
    points = []
    for lam, W in zip(ordered, solutions, strict=True):
        residual = features @ W - targets.to(features.device)
        score = None if validation is None or held is None else validation.score_of((held @ W).cpu())
        points.append(RidgePoint(lam, float((residual**2).sum() + lam * (W**2).sum()), score))
    best = max(range(len(points)), key=lambda i: (points[i].validation_score or 0.0, -i))
    return RidgeFit(Network(hidden, solutions[best]), ordered[best], tuple(points))
