"""How outputs are scored, and rows that are not trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from sklearn.metrics import r2_score
from torch import Tensor

from convexsnn.labels import decide
from convexsnn.losses import Head
from convexsnn.sequences import Sequences, SequenceSource, in_memory
from convexsnn.sharded import whole


class Score(Protocol):
    """From outputs to a number that is larger the better they are."""

    def __call__(self, targets: Tensor, S: Tensor, weights: Tensor) -> float:
        """The score of outputs S (rows, C) for encoded targets (rows, C), each row counted by its weight (rows,)."""
        ...

    def strata(self, targets: Tensor) -> np.ndarray:
        """The class of each row, (rows,), where a split in two should keep the shares of classes; else zeros."""
        ...


@dataclass(frozen=True)
class Accuracy:
    """The share of rows whose label is right; of several outputs all must be right.

    Attributes
    ----------
    heads : tuple of Head
        The heads of several categorical outputs; () where there is one.
    """

    heads: tuple[Head, ...] = ()

    def __call__(self, targets: Tensor, S: Tensor, weights: Tensor) -> float:
        """See `Score`."""
        right = decide(targets, self.heads) == decide(S, self.heads)
        right = right if right.ndim == 1 else right.all(dim=1)
        return float(np.average(right.numpy(), weights=weights.numpy()))

    def strata(self, targets: Tensor) -> np.ndarray:
        """Classes, or combinations of the classes of several outputs."""
        return np.unique(decide(targets, self.heads).numpy(), axis=0, return_inverse=True)[1].ravel()


@dataclass(frozen=True)
class RSquared:
    """The share of the variance of the targets that the outputs explain, R^2; NaN for a single row."""

    def __call__(self, targets: Tensor, S: Tensor, weights: Tensor) -> float:
        """See `Score`."""
        if len(targets) < 2:
            return math.nan
        return float(r2_score(targets.numpy(), S.numpy(), sample_weight=weights.numpy()))

    def strata(self, targets: Tensor) -> np.ndarray:
        """Real targets have none."""
        return np.zeros(len(targets), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Validation:
    """Sequences that are not trained on, their targets, and how outputs on them are scored.

    Attributes
    ----------
    source : SequenceSource
    targets : float64 tensor of shape (rows, C)
        Encoded, as those of the training rows are.
    score : Score
    weights : float64 tensor of shape (rows,), optional
        The weights of the rows in the score; None is 1 each.
    """

    source: SequenceSource
    targets: Tensor
    score: Score
    weights: Tensor | None = None

    @property
    def sequences(self) -> Sequences:
        """The sequences, for what needs all of them at once; ValueError where they are not in memory."""
        return in_memory(whole(self.source))

    def score_of(self, S: Tensor) -> float:
        """The score of outputs S (rows, C), on the CPU."""
        weights = torch.ones(len(self.targets), dtype=torch.float64) if self.weights is None else self.weights
        return self.score(self.targets, S, weights)
