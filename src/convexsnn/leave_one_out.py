"""The pick of one of several betas by leaving out each row in turn, for the squared loss with the ridge penalty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convexsnn.observer import Observer
from convexsnn.program import ConvexProgram
from convexsnn.regularisation import Regularisation
from convexsnn.selection import Fitted, betas_of, point_of
from convexsnn.solvers.base import Solution, SolverOptions
from convexsnn.solvers.ridge import RidgeClosedForm, Spectrum
from convexsnn.training import SimulatedColumns


def leave_one_out(source: SimulatedColumns, regularisation: Regularisation, observer: Observer | None = None) -> Fitted:
    """Pick the beta whose outputs for rows that are left out have the smallest loss, and fit all rows with it.

    One decomposition gives the outputs of every row without itself, for every beta; no fold is solved for.

    Parameters
    ----------
    source : SimulatedColumns
        The columns, which must not depend on the targets. Its problem has a score, which has `Problem.leaves_one_out`.
    regularisation : Regularisation
    observer : Observer, optional

    Returns
    -------
    Fitted
        Its path is the picked beta alone, with the score on rows that are left out as its validation score.
    """
    observer = observer or Observer()
    betas = betas_of(source, regularisation)
    rhos = [regularisation.rho_of(beta, source.n_last) for beta in betas]
    observer.begin(f"{len(betas)} betas, leaving out each sequence in turn")
    spectrum = Spectrum.of(source.program)
    chosen = least_loss(spectrum, rhos)
    fit = source.fit_of(solved(source.program, rhos[chosen], source.options, spectrum))
    problem = source.problem
    root = problem.weights.sqrt().unsqueeze(1)
    outputs = problem.targets - spectrum.left_out_residuals(rhos[chosen]).cpu() / root
    score = problem.scored.score_of(outputs)
    point = point_of(source, betas[chosen], fit, score)
    return Fitted(fit.conclude(), betas[chosen], (point,), source.history, source.stopped)


def solved(program: ConvexProgram, rho: float, options: SolverOptions, spectrum: Spectrum) -> Solution:
    """The program at one rho, whose decomposition is known."""
    return RidgeClosedForm().solve(replace(program, rho=rho), options, None, spectrum)


def least_loss(spectrum: Spectrum, rhos: Sequence[float]) -> int:
    """The rho for which the squared residuals of rows that are left out are smallest; of equal ones the largest."""
    losses = [spectrum.left_out_loss(rho) for rho in rhos]
    return min(range(len(rhos)), key=lambda i: (losses[i], -rhos[i]))
