"""One neuron as a linear classifier through the origin: the widest margin, or a proof that there is none."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog, nnls

# Margins and residuals, relative to the longest row, that are taken for zero.
ZERO = 1e-10
# Regressors up to which a certificate of infeasibility is made exact.
EXACT_SIZE = 60


@dataclass(frozen=True, eq=False)
class Separation:
    """The outcome of `separate`.

    Attributes
    ----------
    weights : float64 array of shape (p,), or None
        Of norm one, with rows @ weights >= margin > 0; None when there are none.
    margin : float
        The least rows @ weights; 0 without weights.
    multipliers : float64 array of shape (rows,), or None
        Without weights: nonnegative, of sum one, with multipliers @ rows = 0 up to `residual`. Then no weights u have
        rows @ u > residual * |u| (Gordan's theorem).
    residual : float
        |multipliers @ rows|, computed from them alone.
    exact : bool
        Whether multipliers of the same support were found whose combination is zero in rational arithmetic.
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


def separate(rows: np.ndarray) -> Separation:
    """Weights u of norm one with the largest min(rows @ u), or multipliers that prove it is not positive.

    The hard-margin support vector machine without offset as a nonnegative least squares problem: min |u|^2 subject to
    rows @ u >= 1 (Lawson and Hanson, Solving Least Squares Problems, chapter 23: least distance programming). What
    its rounding leaves open a linear program decides.

    Parameters
    ----------
    rows : float64 array of shape (rows, p), finite
        Examples times their labels +-1.

    Raises
    ------
    ValueError
        When the rows are not a finite matrix, or neither weights nor multipliers come out of rounding.
    """
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ValueError(f"rows must be a finite matrix, got shape {rows.shape}")
    size = np.linalg.norm(rows, axis=1).max(initial=0.0)
    if len(rows) == 0:
        return Separation(np.eye(rows.shape[1])[0] if rows.shape[1] else np.zeros(0), np.inf)
    if size == 0.0:
        return _refused(rows, np.full(len(rows), 1.0 / len(rows)))
    for candidate in (_least_distance, _linear_program):
        weights, multipliers = candidate(rows / size)
        if weights is not None and (margin := float((rows @ weights).min())) > ZERO * size:
            return Separation(weights, margin)
        if multipliers is not None and np.linalg.norm(multipliers @ rows) <= ZERO * size:
            return _refused(rows, multipliers)
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


def _refused(rows: np.ndarray, multipliers: np.ndarray) -> Separation:
    residual = float(np.linalg.norm(multipliers @ rows))
    return Separation(None, 0.0, multipliers, residual, _is_exact(rows, multipliers))


def _is_exact(rows: np.ndarray, multipliers: np.ndarray) -> bool:
    """Whether a positive combination of the rows with multipliers is zero in rational arithmetic."""
    support = np.flatnonzero(multipliers > 1e-12)
    if rows.shape[1] > EXACT_SIZE or len(support) > EXACT_SIZE + 1:
        return not rows[support].any()
    kernel = _kernel([[Fraction(v) for v in column] for column in rows[support].T.tolist()], len(support))
    return len(kernel) == 1 and (all(v > 0 for v in kernel[0]) or all(v < 0 for v in kernel[0]))


def _kernel(matrix: list[list[Fraction]], width: int) -> list[list[Fraction]]:
    """A basis of {x : matrix x = 0} by Gauss-Jordan elimination."""
    pivots: list[int] = []
    rows = [row for row in matrix if any(row)]
    for column in range(width):
        at = next((i for i in range(len(pivots), len(rows)) if rows[i][column]), None)
        if at is None:
            continue
        k = len(pivots)
        rows[k], rows[at] = rows[at], rows[k]
        rows[k] = [v / rows[k][column] for v in rows[k]]
        for i, row in enumerate(rows):
            if i != k and row[column]:
                rows[i] = [a - row[column] * b for a, b in zip(row, rows[k], strict=True)]
        pivots.append(column)
    basis = []
    for free in (c for c in range(width) if c not in pivots):
        vector = [Fraction(0)] * width
        vector[free] = Fraction(1)
        for k, pivot in enumerate(pivots):
            vector[pivot] = -rows[k][free]
        basis.append(vector)
    return basis
