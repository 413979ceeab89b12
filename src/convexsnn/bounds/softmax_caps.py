"""The universal program of softmax cross entropy: a search over the 2C caps of one head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from torch import Tensor

from convexsnn.bounds.rows import sum_groups
from convexsnn.losses import CrossEntropy
from convexsnn.rowwise import blocks_of_groups, blocks_of_rows, by_rows

# Steps of the search over caps, and halvings of the interval of each group's log-partition.
STEPS, HALVINGS = 200, 55
# Caps that the search tries are cut off there: exp of them is still a float64, and no score needs to be so large.
LARGEST_CAP = 700.0
# Entries of mixtures for which the search stays below a second: beyond, groups of mixed labels are not merged in it
# (its vector is merged all the same when it is scaled, so the bound is valid).
ENTRIES = 2**15


def softmax_dual(Y: Tensor, weights: Tensor, groups: Tensor, rho: float) -> Tensor:
    """The dual vector (rows, C) of the universal program; arguments as of `softmax_scores`."""
    scores, which = _distinct_scores(Y, weights, groups, rho)
    w, loss = weights.unsqueeze(1), CrossEntropy()
    return by_rows(lambda rows: w[rows] * loss.gradient(scores[which[rows]], Y[rows]), len(Y))


def softmax_scores(Y: Tensor, weights: Tensor, groups: Tensor, rho: float) -> Tensor:
    """The best scores (rows, C) of the universal program of sum_i w_i CE(y_i, S_i) with l1 weight `rho`.

    A group of rows with equal input has one score, so only its weight and its mixture q of labels matter. Groups with
    the same mixture have the same best score, such as all groups of one label. So the search sees the distinct mixtures
    only.

    Parameters
    ----------
    Y : float64 tensor of shape (rows, C)
        One-hot.
    weights : float64 tensor of shape (rows,)
    groups : int64 tensor of shape (rows,)
    rho : float
    """
    scores, which = _distinct_scores(Y, weights, groups, rho)
    return scores[which]


def _distinct_scores(Y: Tensor, weights: Tensor, groups: Tensor, rho: float) -> tuple[Tensor, Tensor]:
    """The same, as few distinct rows of scores and which of them each row has, (rows,)."""
    w, C = weights.unsqueeze(1), Y.shape[1]
    total = sum_groups(w, groups)
    mixtures, inverse = _distinct(_mixtures(Y, w, groups))
    if mixtures.size > ENTRIES:
        mixtures, inverse = _distinct(Y[rows].numpy() for rows in blocks_of_rows(len(Y)))
        total, groups = w, torch.arange(len(Y))
    mass = np.bincount(inverse, weights=total.numpy()[:, 0], minlength=len(mixtures))

    def objective(caps: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        a, b = caps[:C], caps[C:]
        scores = best_scores(mixtures, a, b)
        slope = mass[:, None] * (softmax(scores, axis=1) - mixtures)
        value = mass @ (np.asarray(logsumexp(scores, axis=1)) - (mixtures * scores).sum(axis=1))
        # By the envelope theorem the derivative in a cap is the slope of the scores that lie on it.
        gradient = [np.minimum(slope, 0.0).sum(axis=0) + rho, -np.maximum(slope, 0.0).sum(axis=0) + rho]
        return float(value + rho * caps.sum()), np.concatenate(gradient)

    options = {"maxiter": STEPS, "ftol": 1e-15, "gtol": 1e-9 * rho, "maxfun": 3 * STEPS, "maxcor": 30}
    start, positive = np.zeros(2 * C), [(0, None)] * 2 * C
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=positive, options=options)
    scores = best_scores(mixtures, found.x[:C], found.x[C:])
    return torch.from_numpy(scores), torch.from_numpy(inverse)[groups]


def _mixtures(Y: Tensor, w: Tensor, groups: Tensor) -> Iterator[NDArray[np.float64]]:
    """The mixture of labels of each group, some groups at a time: (groups, C) in all."""
    for rows, own, _ in blocks_of_groups(groups):
        yield (sum_groups(w[rows] * Y[rows], own) / sum_groups(w[rows], own)).numpy()


def _distinct(blocks: Iterable[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The distinct rows of all blocks up to rounding, and which of them each row is."""
    found, places = [], []
    for rows in blocks:
        distinct, inverse = np.unique(np.round(rows, 14), axis=0, return_inverse=True)
        places.append(inverse.reshape(-1) + sum(map(len, found)))
        found.append(distinct)
    distinct, merged = np.unique(np.concatenate(found), axis=0, return_inverse=True)
    return np.asarray(distinct, dtype=np.float64), merged.reshape(-1)[np.concatenate(places)]


def best_scores(mixtures: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scores s in [-b, a] of least logsumexp(s) - q.s for each mixture q.

    They are s = clip(log q + Z, -b, a) with Z their logsumexp:

    sum_c clip(q_c, exp(-b_c - Z), exp(a_c - Z)) falls with Z and is one at the solution, which is found by bisection.
    """
    a, b = np.minimum(a, LARGEST_CAP), np.minimum(b, LARGEST_CAP)
    with np.errstate(divide="ignore"):
        logs = np.log(mixtures)
    size = float(np.log(mixtures.shape[1]))
    low = np.full((len(mixtures), 1), -b.max() - 1e-9)  # logsumexp(s) lies between max(s) and max(s) + log C
    high = np.full((len(mixtures), 1), a.max() + size + 1e-9)
    low_p, high_p = np.exp(-b), np.exp(a)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        with np.errstate(over="ignore"):  # a bound of inf is none
            scale = np.exp(-middle)
            low_scaled, high_scaled = scale * low_p, scale * high_p
        falling = np.clip(mixtures, low_scaled, high_scaled).sum(axis=1, keepdims=True) > 1.0
        low, high = np.where(falling, middle, low), np.where(falling, high, middle)
    return np.clip(logs + high, -b, a)
