"""Data that are not trained on, and how outputs on them are scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from convexsnn.sequences import Sequences

Score = Callable[[Tensor], float]
"""From the network's outputs S (rows, C), on the CPU, to a number that is larger the better they are."""


@dataclass(frozen=True, eq=False)
class Validation:
    """Sequences that are not trained on, and how outputs on them are scored.

    Attributes
    ----------
    sequences : Sequences
    score : callable (S of shape (rows, C)) -> float
    """

    sequences: Sequences
    score: Score
