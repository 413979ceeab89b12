"""The pick of one of several betas by leaving out each row in turn, for the squared loss with the ridge penalty."""

from __future__ import annotations

from dataclasses import replace

from convexsnn.observer import Observer
from convexsnn.program import ConvexProgram
from convexsnn.regularisation import Regularisation
from convexsnn.selection import Fitted, betas_of, point_of
from convexsnn.solvers.base import Solution, SolverOptions
from convexsnn.solvers.ridge import RidgeClosedForm
from convexsnn.solvers.spectrum import Spectrum
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
    best = spectrum.least_left_out(rhos)
    fit = source.fit_of(solved(source.program, rhos[best.place], source.options, spectrum))
    problem = source.problem
    root = problem.weights.sqrt().unsqueeze(1)
    outputs = problem.targets - best.residuals.cpu() / root
    score = problem.scored.score_of(outputs)
    point = point_of(source, betas[best.place], fit, score)
    return Fitted(fit.conclude(), betas[best.place], (point,), source.history, source.stopped)


def solved(program: ConvexProgram, rho: float, options: SolverOptions, spectrum: Spectrum) -> Solution:
    """The program at one rho, whose decomposition is known."""
    return RidgeClosedForm().solve(replace(program, rho=rho), options, None, spectrum)
