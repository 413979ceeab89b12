"""Where the command line gets its data: a named task, or an .npz file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convexsnn.tasks import Split, TaskSettings, load_task

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class DataSet:
    """Named splits (train always, val and test where there are any) and facts about where they come from.

    Attributes
    ----------
    splits : mapping of str to Split
    per_step : bool
    source : dict
        JSON-compatible: enough to load the same data again.
    unseen_share : float or None
        Share of the test sequences that do not occur in training; for tasks.
    """

    splits: Mapping[str, Split]
    per_step: bool
    source: dict[str, Any]
    unseen_share: float | None = None

    @property
    def train(self) -> Split:
        """The training split."""
        return self.splits["train"]


def from_task(name: str, settings: TaskSettings) -> DataSet:
    """The data of a task."""
    task = load_task(name, settings)
    kept = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(task.settings).items()}
    splits = {"train": task.train, "val": task.val, "test": task.test}
    return DataSet(splits, task.per_step, {"task": name, "settings": kept}, task.unseen_share)


def from_file(path: Path, *, per_step: bool) -> DataSet:
    """The data of an .npz file.

    It holds ``X`` (n, T, d) or (n, d) and ``y``, optionally ``X_val``, ``y_val``, ``X_test``, ``y_test``, and for
    padded sequences the steps of each: ``lengths``, ``lengths_val``, ``lengths_test``. Nothing in it is executed.

    Raises
    ------
    ValueError
        When the file is unreadable or an array is missing or of the wrong form.
    """
    arrays = read_npz(path)
    splits = {}
    for split in SPLITS:
        suffix = "" if split == "train" else f"_{split}"
        if f"X{suffix}" in arrays or split == "train":
            splits[split] = Split(read_input(arrays, path, suffix), _array(arrays, f"y{suffix}", path))
    return DataSet(splits, per_step, {"data": str(path)})


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, without unpickling anything."""
    if not path.is_file():
        raise ValueError(f"there is no data file {path}")
    try:
        with np.load(path, allow_pickle=False) as file:
            if not hasattr(file, "files"):
                raise ValueError("it holds a single array; save it with numpy.savez")
            return {name: file[name] for name in file.files}
    except Exception as error:  # numpy, zipfile and zlib raise a dozen types for a damaged file
        raise ValueError(f"data file {path} is not a readable .npz file: {error}") from error


def read_input(arrays: dict[str, np.ndarray], path: Path, suffix: str = "") -> np.ndarray | list[np.ndarray]:
    """X of one split, cut to its lengths where the file has them."""
    X = _array(arrays, f"X{suffix}", path)
    lengths = arrays.get(f"lengths{suffix}")
    if lengths is None:
        return X
    if X.ndim != 3:
        raise ValueError(f"lengths{suffix} in {path} goes with an X{suffix} of shape (n, T, d), got {X.shape}")
    if lengths.shape != (len(X),) or lengths.dtype.kind not in "iu" or lengths.min() < 1 or lengths.max() > X.shape[1]:
        raise ValueError(f"lengths{suffix} in {path} must be {len(X)} integers between 1 and {X.shape[1]}")
    return [x[:length] for x, length in zip(X, lengths, strict=True)]


def _array(arrays: dict[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"data file {path} has no array {name!r}; it holds {', '.join(sorted(arrays)) or 'nothing'}")
    return arrays[name]
