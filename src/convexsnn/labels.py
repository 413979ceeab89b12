"""Labels: from what users have to class indices a row, and from scores back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convexsnn.arrays import check_unmasked
from convexsnn.losses import Head
from convexsnn.sequences import SequenceSource


def flatten_steps(y: Any, sequences: SequenceSource, *, vectors: bool = False) -> np.ndarray:
    """Labels a step, (n, T) or a list of (T_i,), as one array of rows ordered by sequence, then step.

    Labels beyond the end of a padded sequence are ignored. With `vectors`, a label may be a vector: (n, T, C) or
    (T_i, C).

    Raises
    ------
    ValueError
        When the number of sequences or the steps of one of them differ from the input's.
    """
    lengths = sequences.lengths.tolist()
    if not hasattr(y, "__len__"):
        raise ValueError(f"y must hold the labels of every step of every sequence, got {y!r}")
    if len(y) != len(lengths):
        raise ValueError(f"y has labels for {len(y)} sequences but X has {len(lengths)}")
    rows = []
    for i, (given, steps) in enumerate(zip(y, lengths, strict=True)):
        check_unmasked(given, f"y[{i}]", "leave out the steps of its sequence")
        labels = np.asarray(given)
        if labels.ndim not in ((1, 2) if vectors else (1,)) or len(labels) not in (steps, sequences.n_steps):
            raise ValueError(
                f"y[{i}] must hold one label for each of its {steps} steps, got shape {labels.shape}; "
                "pass per_step=False for one label a sequence"
            )
        rows.append(labels[:steps])
    return np.concatenate(rows)


def split_heads(S: Tensor, heads: tuple[Head, ...]) -> tuple[Tensor, ...]:
    """The scores (rows, C) of each head; all of them where there are no heads."""
    return S.split([head.classes for head in heads], dim=1) if heads else (S,)


def decide(S: Tensor, heads: tuple[Head, ...] = ()) -> Tensor:
    """Class index of each row of scores (rows, C): the sign of one score, the largest of several.

    With `heads`, the largest of each head: shape (rows, H).
    """
    if heads:
        return torch.stack([scores.argmax(dim=1) for scores in split_heads(S, heads)], dim=1)
    return (S[:, 0] > 0).to(torch.int64) if S.shape[1] == 1 else S.argmax(dim=1)
