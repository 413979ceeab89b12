"""A fit as a whole: columns from a witness family, a path of betas, and the pick of one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convexsnn.caller import isolated, paced
from convexsnn.cross_validation import cross_validate, folds_of
from convexsnn.families import Run, WitnessFamily
from convexsnn.penalties import require_norm
from convexsnn.problem import Problem
from convexsnn.regularisation import Regularisation
from convexsnn.search.state import SEARCHING
from convexsnn.selection import Fitted, train_path
from convexsnn.solvers import Status
from convexsnn.training import SimulatedColumns

# Up to so many sequences betas are compared by cross-validation, which takes a solution a fold.
FEW_SEQUENCES = 2000


@isolated
@paced(lambda problem, family, *_, **__: len(problem.targets) * family.n_at_once)
def fit(
    problem: Problem,
    family: WitnessFamily,
    regularisation: Regularisation,
    run: Run | None = None,
    *,
    validation_fraction: float = 0.2,
) -> Fitted:
    """Train a network on a problem.

    Parameters
    ----------
    problem : Problem
        With a score. Its own rho is not used.
    family : WitnessFamily
    regularisation : Regularisation
    run : Run, optional
    validation_fraction : float
        With several betas and no validation data, this share of the sequences is held out for the pick. The network of
        the picked beta is then trained on all of them. Up to 2000 sequences, all are held out in turn, a share at a
        time, where hidden neurons do not depend on labels (`cross_validate`).

    Raises
    ------
    ValueError
        When the family cannot be had for this problem, or would cost too much; before any work is done.
    """
    run = run or Run()
    check_checkpoint(family, run)
    family.check(every_step=problem.every_step, device=run.device)
    if family.searches:
        require_norm(problem.penalty, SEARCHING)
    problem = problem.at(regularisation.before_readout(family.n_last))
    training, choose = problem, regularisation.several and problem.validation is None
    if choose and family.label_free and len(problem.input) <= FEW_SEQUENCES:
        folds = folds_of(strata(problem), fold_count(validation_fraction, len(problem.input)), run.seed)
        source = family.columns(problem, run)
        assert isinstance(source, SimulatedColumns)
        return cross_validate(source, regularisation, folds, run.observer)
    if split := choose:
        training = problem.split(held_out(strata(problem), validation_fraction, run.seed))
        family.check_cost(problem)  # a refusal should not come after half of the work
    source = family.columns(training, run)
    fitted = train_path(source, regularisation, run.observer)
    if split and fitted.trained.status is not Status.INTERRUPTED:
        run.observer.begin(f"beta {fitted.beta:.3g} on all sequences")
        source = source.on(problem)
        rho = regularisation.rho_of(fitted.beta, source.n_last)
        (fit_on_all,) = source.fits([rho], fitted.trained.W)
        return replace(fitted, trained=fit_on_all.conclude())
    return fitted


def fold_count(fraction: float, n: int) -> int:
    """Into how many folds `n` sequences are cut so that each is about `fraction` of them: at least two."""
    return max(2, min(n, round(1.0 / fraction)))


def check_checkpoint(family: WitnessFamily, run: Run) -> None:
    """Raise ValueError where a checkpoint is asked for that the family would not keep."""
    if run.checkpoint is not None and not family.searches:
        raise ValueError(
            f"checkpoint has no effect on witnesses={family!r}: only a search keeps one, as in witnesses='search'"
        )


def strata(problem: Problem) -> np.ndarray:
    """The class of each sequence, whose shares a split should keep; zeros where rows are steps, or have no class."""
    if problem.every_step or problem.score is None:
        return np.zeros(len(problem.input), dtype=np.int64)
    return problem.score.strata(problem.targets)


def held_out(strata: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """A random bool mask of shape (n,) with `fraction` of the entries, as near as can be of each stratum.

    Raises
    ------
    ValueError
        When fewer than two entries would be left on either side.
    """
    n = len(strata)
    count = round(fraction * n)
    if not 2 <= count <= n - 2:
        raise ValueError(
            f"validation_fraction={fraction:g} of {n} sequences is {count}, but training and validation need at least "
            "two each: change it, or pass validation=(X_val, y_val)"
        )
    shuffled = np.random.default_rng(seed).permutation(n)
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    # Evenly spaced entries of the sorted list meet every stratum in proportion to its size.
    mask = np.zeros(n, dtype=bool)
    mask[by_stratum[((np.arange(count) + 0.5) * n / count).astype(int)]] = True
    return mask
