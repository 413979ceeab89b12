"""Sequences with the targets and weights of their rows, and how they are split into two parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convexsnn.estimators.targets import spread_weights
from convexsnn.sequences import Sequences


@dataclass(frozen=True, eq=False)
class Examples:
    """What a fit is given, row by row where a sequence has several rows.

    Attributes
    ----------
    sequences : Sequences
    targets : float64 tensor of shape (rows, C)
        Encoded.
    row_weights : float64 array of shape (rows,)
        In the convex program.
    sequence_weights : float64 array of shape (n,)
        Of the sequences, in scores.
    per_step : bool
        One row a step instead of one a sequence.
    """

    sequences: Sequences
    targets: Tensor
    row_weights: np.ndarray
    sequence_weights: np.ndarray
    per_step: bool

    @property
    def score_weights(self) -> np.ndarray:
        """Weights of the rows in scores."""
        return spread_weights(self.sequence_weights, self.sequences, self.per_step)

    def take(self, chosen: np.ndarray) -> Examples:
        """The sequences that the bool mask `chosen` of shape (n,) names, with their rows."""
        rows = spread_weights(chosen, self.sequences, self.per_step)
        return Examples(
            self.sequences.take(torch.from_numpy(np.flatnonzero(chosen))),
            self.targets[torch.from_numpy(np.flatnonzero(rows))],
            self.row_weights[rows],
            self.sequence_weights[chosen],
            self.per_step,
        )

    def weighty(self) -> Examples:
        """The sequences of positive weight; ValueError when the weights of their rows are not positive and finite."""
        if not np.isfinite(self.row_weights.sum()):
            raise ValueError("sample_weight and class_weight must be finite, and so must the sum of their products")
        kept = self.take(self.sequence_weights > 0)
        if not (kept.row_weights > 0).all():
            raise ValueError("class_weight must be positive for every class: drop the examples of a class instead")
        return kept


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
