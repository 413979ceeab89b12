"""One neuron as a linear classifier through the origin: the widest margin, or a proof that there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog, nnls

from convexsnn.rationals import Integers, as_fractions, decide_inequalities, primitive_rows

# Margins and residuals, relative to the longest row, at which floats are not believed.
ZERO = 1e-10
# Regressors, and entries of all rows, up to which what floats leave open is decided in integers.
EXACT_SIZE, EXACT_ENTRIES = 60, 20_000

ExactRows = Callable[[NDArray[np.int64]], Integers]
"""The rows named by an index without rounding: Fractions of shape (len(index), p)."""


@dataclass(frozen=True, eq=False)
class Separation:
    """The outcome of `separate`.

    Attributes
    ----------
    weights : float64 array of shape (p,), or None
        Weights of norm one with rows @ weights >= margin > 0; None when there are none.
    margin : float
        The least rows @ weights; 0 without weights.
    multipliers : float64 array of shape (rows,), or None
        Without weights: nonnegative, of sum one, with multipliers @ rows = 0 up to `residual`. Then no weights u have
        rows @ u > residual * |u| (Gordan's theorem).
    residual : float
        |multipliers @ rows|, computed from them alone.
    exact : bool
        Whether the multipliers are the rounding of some that combine the exact rows to zero in rational arithmetic:
        then there are no weights, however small their margin might be.
    """

    weights: np.ndarray | None
    margin: float
    multipliers: np.ndarray | None = None
    residual: float = 0.0
    exact: bool = False

    @property
    def separable(self) -> bool:
        """Whether there is a positive margin."""
        return self.weights is not None


def separate(rows: np.ndarray, exact: ExactRows | None = None) -> Separation:
    """Weights u of norm one with the largest min(rows @ u), or multipliers that prove it is not positive.

    The hard-margin support vector machine without offset as a nonnegative least squares problem: min |u|^2 subject to
    rows @ u >= 1 (Lawson and Hanson, Solving Least Squares Problems, chapter 23: least distance programming). What
    its rounding leaves open a linear program decides, and what that leaves open the simplex method in integers.

    Parameters
    ----------
    rows : float64 array of shape (rows, p), finite
        Examples times their labels +-1.
    exact : callable, optional
        The rows that `rows` are the rounding of; without it they are what is meant.

    Raises
    ------
    ValueError
        When `rows` is not a finite matrix, or the margin is so near zero that it can be neither found nor excluded, and
        there is too much to decide it without rounding.
    """
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ValueError(f"rows must be a finite matrix, got shape {rows.shape}")
    size = np.linalg.norm(rows, axis=1).max(initial=0.0)
    if len(rows) == 0:
        return Separation(np.eye(rows.shape[1])[0] if rows.shape[1] else np.zeros(0), np.inf)
    meant = exact or (lambda index: as_fractions(rows[index]))
    refused = np.full(len(rows), 1.0 / len(rows)) if size == 0.0 else None
    for candidate in (_least_distance, _linear_program) if size else ():
        weights, multipliers = candidate(rows / size)
        if weights is not None and (margin := float((rows @ weights).min())) > ZERO * size:
            return Separation(weights, margin)
        if multipliers is not None and np.linalg.norm(multipliers @ rows) <= ZERO * size:
            refused, support = multipliers, np.flatnonzero(multipliers > 1e-12)
            if rows.shape[1] <= EXACT_SIZE and len(support) <= EXACT_SIZE + 1:
                proved = _decided(rows, meant(support), support)
                if not proved.separable:
                    return proved
    if rows.shape[1] <= EXACT_SIZE and rows.size <= EXACT_ENTRIES:
        every = np.arange(len(rows))
        return _decided(rows, meant(every), every)
    if refused is not None:
        return _refused(rows, refused, exact=False)
    raise ValueError("the margin is within rounding of zero: it can be neither found nor excluded")


def _least_distance(rows: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    system = np.vstack([rows.T, np.ones(len(rows))])
    target = np.zeros(len(system))
    target[-1] = 1.0
    try:
        multipliers, _ = nnls(system, target, maxiter=10 * len(rows) + 1000)
    except RuntimeError:  # no convergence
        return None, None
    left = system @ multipliers - target
    return _unit(left[:-1]), _normalised(multipliers)


def _linear_program(rows: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Max m subject to rows @ u >= m, |u_k| <= 1, and its dual."""
    count, p = rows.shape
    cost = np.r_[np.zeros(p), -1.0]
    bounds = [(-1.0, 1.0)] * p + [(None, None)]
    result = linprog(cost, np.c_[-rows, np.ones(count)], np.zeros(count), bounds=bounds, method="highs")
    if result.x is None:
        return None, None
    return _unit(result.x[:p]), _normalised(np.maximum(-result.ineqlin.marginals, 0.0))


def _unit(weights: np.ndarray) -> np.ndarray | None:
    norm = np.linalg.norm(weights)
    return weights / norm if norm > 0 else None


def _normalised(multipliers: np.ndarray) -> np.ndarray | None:
    total = multipliers.sum()
    return multipliers / total if total > 0 else None


def _refused(rows: np.ndarray, multipliers: np.ndarray, *, exact: bool) -> Separation:
    return Separation(None, 0.0, multipliers, float(np.linalg.norm(multipliers @ rows)), exact)


def _decided(rows: np.ndarray, meant: Integers, index: NDArray[np.int64]) -> Separation:
    """Weights for the exact rows `meant`, those that `index` names, or a proof, by the simplex method in integers."""
    whole, factors = primitive_rows(meant)
    answer = decide_inequalities(whole, whole[:0])
    if answer.point is not None:
        largest = max(map(abs, answer.point.tolist()))
        weights = np.array([entry / largest for entry in answer.point.tolist()])
        least = min(float(product / largest) for product in meant @ answer.point)
        return Separation(weights / np.linalg.norm(weights), least / float(np.linalg.norm(weights)))
    assert answer.multipliers is not None
    multipliers = np.zeros(len(rows))
    multipliers[index] = [float(y * factor) for y, factor in zip(answer.multipliers, factors, strict=True)]
    return _refused(rows, multipliers / multipliers.sum(), exact=True)
