"""The pick of one of several betas by cross-validation over one simulation, where rows are few."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from convexsnn.observer import Observer
from convexsnn.regularisation import Regularisation
from convexsnn.selection import Fitted, betas_of, fits_of, warn_of_others
from convexsnn.solvers.base import Status
from convexsnn.solvers.path import solve_path
from convexsnn.training import SimulatedColumns

# The relative gap to which weights without a fold are solved: scores do not show more.
FOLD_TOL = 1e-3


def cross_validate(
    source: SimulatedColumns, regularisation: Regularisation, folds: np.ndarray, observer: Observer | None = None
) -> Fitted:
    """Fit output weights on all rows for every beta, and pick one by its scores on rows that were left out.

    For each fold the same columns are solved for without the fold's rows, and the fold is scored. Of the betas whose
    mean score is within one standard error of the best mean, the one with the smallest mean loss is picked. Where few
    rows cannot tell betas apart by their score, they often can by their loss.

    Parameters
    ----------
    source : SimulatedColumns
        The columns, which must not depend on the targets. Its problem has a score.
    regularisation : Regularisation
    folds : int64 array of shape (n,)
        The fold of each sequence, from 0 on.
    observer : Observer, optional

    Returns
    -------
    Fitted
        The points of its path have the mean scores as their validation scores.

    References
    ----------
    Breiman et al., "Classification and Regression Trees" (1984), section 3.4.3, for the standard error.
    """
    observer = observer or Observer()
    betas = betas_of(source, regularisation)
    rhos = [regularisation.rho_of(beta, source.n_last) for beta in betas]
    observer.begin(f"{len(betas)} betas on all sequences")
    points, fits = map(list, zip(*fits_of(source, betas, rhos, regularisation), strict=True))
    scores, losses = _of_folds(source, rhos[: len(points)], folds, observer, points[-1].status)
    if len(scores):
        means = scores.mean(axis=0).tolist()
        points = [replace(point, validation_score=own) for point, own in zip(points, means, strict=True)]
    chosen = pick(scores, losses)
    warn_of_others(points, points[chosen], source.options.tol)
    return Fitted(fits[chosen].conclude(), points[chosen].beta, tuple(points), source.history, source.stopped)


def pick(scores: np.ndarray, losses: np.ndarray) -> int:
    """The beta of the smallest mean loss, among those whose mean score is within one standard error of the best.

    Parameters
    ----------
    scores, losses : float64 arrays of shape (folds, betas)
        Without folds, the last beta is picked.
    """
    if not len(scores):
        return scores.shape[1] - 1
    means = scores.mean(axis=0)
    best = int(means.argmax())
    error = scores[:, best].std(ddof=1) / math.sqrt(len(scores)) if len(scores) > 1 else 0.0
    return int(np.where(means >= means[best] - error, losses.mean(axis=0), np.inf).argmin())


def _of_folds(
    source: SimulatedColumns, rhos: Sequence[float], folds: np.ndarray, observer: Observer, status: Status
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and losses (folds, betas) of those folds that are solved for all betas before an interruption."""
    number, found = int(folds.max()) + 1, []
    for k in range(number if status is not Status.INTERRUPTED else 0):
        observer.begin(f"fold {k + 1} of {number}")
        own = list(_of_fold(source, rhos, folds == k))
        if len(own) < len(rhos):
            break
        found.append(own)
    scores, losses = np.moveaxis(np.array(found).reshape(-1, len(rhos), 2), 2, 0)
    return scores, losses


def _of_fold(source: SimulatedColumns, rhos: Sequence[float], held: np.ndarray) -> Iterator[tuple[float, float]]:
    """Score and mean loss on the sequences `held` (bool mask) of weights without them, for each rho until interrupted.

    Where the score is not defined it is minus infinity.
    """
    problem = source.problem
    rest, part = problem.take(~held), problem.take(held)
    columns = source.program.columns
    shown, hidden = (columns.rows(problem.rows_of(mask).to(columns.device)) for mask in (~held, held))
    options = replace(source.options, tol=max(source.options.tol, FOLD_TOL), callback=None)
    for solution in solve_path(rest.program(shown), rhos, options):
        if solution.status is Status.INTERRUPTED:
            return
        S = hidden.matmul(solution.W).cpu()
        score = part.scored.score_of(S)
        yield (score if math.isfinite(score) else -math.inf), float(part.weights @ part.loss.value(S, part.targets))
