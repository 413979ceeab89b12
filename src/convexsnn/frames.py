"""Data frames that hold several sequences, as pandas users keep them: taken apart without importing pandas."""

from __future__ import annotations

from typing import Any

import numpy as np


def in_sequences(X: Any) -> Any:
    """A data frame of several sequences as the list of their frames (T_i, d); anything else as it is.

    Parameters
    ----------
    X : data frame, or anything
        With an index of two levels, the sequence and the step, it is taken apart by sequence. With a series, an array
        or a list in every cell, each row is a sequence, and each column a feature.

    Raises
    ------
    ValueError
        When the steps of a sequence do not follow one another in order, or the features of one have different numbers
        of steps.
    """
    if not hasattr(X, "columns") or not hasattr(X, "to_numpy"):
        return X
    if getattr(X.index, "nlevels", 1) == 2:
        return _by_index(X)
    cells = X.to_numpy()
    if cells.dtype.hasobject and cells.size and all(_is_series(cell) for cell in cells.ravel()):
        return [_frame_of(X, i, row) for i, row in enumerate(cells)]
    return X


def _by_index(X: Any) -> list[Any]:
    """The frames of an index of two levels, in the order in which the sequences begin."""
    if not X.index.is_unique:
        raise ValueError("X has two rows of one sequence and step: its index must name each row once")
    found = []
    for name, own in X.groupby(level=0, sort=False):
        own = own.droplevel(0)
        if not own.index.is_monotonic_increasing:
            raise ValueError(f"the steps of sequence {name!r} in X are not in order: pass X.sort_index()")
        found.append(own)
    return found


def _is_series(cell: Any) -> bool:
    return not isinstance(cell, (str, bytes)) and np.ndim(cell) == 1


def _frame_of(X: Any, place: int, cells: np.ndarray) -> Any:
    """One row of a frame of series, as a frame of its own."""
    steps = {len(cell) for cell in cells}
    if len(steps) > 1:
        raise ValueError(f"the features of row {place} of X have different numbers of steps: {sorted(steps)}")
    return type(X)({name: np.asarray(cell) for name, cell in zip(X.columns, cells, strict=True)})
