"""Reading labels, real targets and weights, one row a dictionary row."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, assert_all_finite, column_or_1d

from convexsnn.arrays import check_unmasked, numeric
from convexsnn.labels import flatten_steps
from convexsnn.sequences import SequenceSource

# Beyond these, squares of targets overflow or vanish.
TARGET_RANGE = (1e-140, 1e140)
WITHOUT_THEM = "leave these rows out"


def class_labels(y: Any, sequences: SequenceSource, per_step: bool, owner: str) -> np.ndarray:
    """Class labels of every row, shape (rows,), or (rows, H) where a label has H > 1 outputs.

    ValueError or a scikit-learn warning on labels of wrong form.
    """
    if y is None:
        raise ValueError(f"{owner} requires y to be passed, but the target y is None")
    labels = _rows(y, sequences, per_step)
    if labels.ndim > 2:
        raise ValueError(
            f"y must have shape (n,) or (n, H), got {labels.shape}; for labels at every step: per_step=True"
        )
    if labels.ndim != 2 or labels.shape[1] < 2:
        labels = column_or_1d(labels, warn=True)
    _check_count(labels, sequences.rows(per_step))
    if labels.dtype.kind == "S":
        raise ValueError("y holds bytes: convert them to text, as in y.astype(str)")
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name="y")
    if labels.ndim == 1:
        check_classification_targets(labels)
    else:
        for output in labels.T:
            # Numbers beside words are held as objects, which scikit-learn takes for words.
            check_classification_targets(np.array(output.tolist()) if labels.dtype.hasobject else output)
    return labels


def real_targets(y: Any, sequences: SequenceSource, per_step: bool, owner: str) -> np.ndarray:
    """Real targets of every row, float64 of shape (rows,) or (rows, C)."""
    if y is None:
        raise ValueError(f"{owner} requires y to be passed, but the target y is None")
    values = _rows(y, sequences, per_step)
    if values.dtype.kind == "c":
        raise ValueError("Complex data not supported in y: pass real numbers")
    if values.dtype.kind not in "fiub":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"y must be numeric, got dtype {values.dtype}: {error}") from error
    if values.ndim not in (1, 2):
        raise ValueError(f"y must have shape (n,) or (n, C), got {values.shape}; for one value a step: per_step=True")
    if not per_step:
        if values.ndim == 2 and values.shape[1] == 1:
            values = column_or_1d(y, warn=True)
        _check_count(values, len(sequences))
    values = values.astype(np.float64)
    assert_all_finite(values, input_name="y")
    if values.size == 0:
        raise ValueError(f"y must hold at least one value a row, got shape {values.shape}")
    largest = np.abs(values).max()
    if largest and not TARGET_RANGE[0] <= largest <= TARGET_RANGE[1]:
        raise ValueError(f"y has a largest magnitude of {largest:g}, whose square leaves the range of float64: scale y")
    return values


def _rows(y: Any, sequences: SequenceSource, per_step: bool) -> np.ndarray:
    check_unmasked(y, "y", WITHOUT_THEM)
    return flatten_steps(y, sequences, vectors=True) if per_step else np.asarray(y)


def _check_count(y: np.ndarray, rows: int) -> None:
    if len(y) != rows:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {[rows, len(y)]} (X, y)")


def sequence_weights(sample_weight: Any, sequences: SequenceSource) -> np.ndarray:
    """Nonnegative weights of the sequences, float64 of shape (n,), not all zero."""
    placeholder = np.empty((len(sequences), 1))
    check_unmasked(sample_weight, "sample_weight", WITHOUT_THEM)
    if sample_weight is not None:
        sample_weight = numeric(np.asarray(sample_weight), "sample_weight")
    return _check_sample_weight(sample_weight, placeholder, dtype=np.float64, ensure_non_negative=True)


def weighty(
    per_sequence: np.ndarray, sequences: SequenceSource, rows: np.ndarray, *, per_step: bool
) -> tuple[np.ndarray, SequenceSource, np.ndarray]:
    """Weights, sequences and rows (labels or targets) without the sequences of weight zero, which are as if absent."""
    kept = per_sequence > 0
    if kept.all():
        return per_sequence, sequences, rows
    kept_rows = spread_weights(per_sequence, sequences, per_step) > 0
    return per_sequence[kept], sequences.take(torch.from_numpy(np.flatnonzero(kept))), rows[kept_rows]


def spread_weights(per_sequence: np.ndarray, sequences: SequenceSource, per_step: bool) -> np.ndarray:
    """Weights of sequences as weights of rows."""
    return np.repeat(per_sequence, sequences.lengths.numpy()) if per_step else per_sequence
