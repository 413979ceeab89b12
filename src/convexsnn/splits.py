"""Sequences that are held out at random, with the shares of the classes kept."""

from __future__ import annotations

import numpy as np

from convexsnn.problem import Problem


def strata(problem: Problem) -> np.ndarray:
    """The class of each sequence, whose shares a split should keep; zeros where rows are steps, or have no class."""
    if problem.every_step or problem.score is None:
        return np.zeros(len(problem.source), dtype=np.int64)
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
    # Evenly spaced entries of the sorted list meet every stratum in proportion to its size.
    mask = np.zeros(n, dtype=bool)
    mask[_by_stratum(strata, seed)[((np.arange(count) + 0.5) * n / count).astype(int)]] = True
    return mask


def fold_count(fraction: float, n: int) -> int:
    """Into how many folds `n` sequences are cut so that each is about `fraction` of them: at least two."""
    return max(2, min(n, round(1.0 / fraction)))


def folds_of(strata: np.ndarray, number: int, seed: int) -> np.ndarray:
    """A random fold from 0 to number - 1 for each entry, as equal in size as can be, in each stratum too."""
    folds = np.empty(len(strata), dtype=np.int64)
    folds[_by_stratum(strata, seed)] = np.arange(len(strata)) % number
    return folds


def _by_stratum(strata: np.ndarray, seed: int) -> np.ndarray:
    """The entries stratum by stratum, in each in random order."""
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    return shuffled[np.argsort(strata[shuffled], kind="stable")]
