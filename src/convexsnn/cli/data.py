"""Where the command line gets its data: a named task, a file, or a folder of batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convexsnn.arrays import unpadded
from convexsnn.batches import Batches, as_batches
from convexsnn.checks import check_flag
from convexsnn.cli.options import check_no_folder
from convexsnn.data_files import read_arrays
from convexsnn.estimators import Estimator
from convexsnn.reading import reading
from convexsnn.sequences import as_sequences
from convexsnn.tasks import Split, TaskData, TaskSettings, load_task

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
    timesteps : int or None
        Steps for which a 2-D X is to be shown, where that was said.
    task : TaskData or None
        Where the data are a task's.
    """

    splits: Mapping[str, Split]
    per_step: bool
    source: dict[str, Any]
    unseen_share: float | None = None
    timesteps: int | None = None
    task: TaskData | None = None

    @property
    def train(self) -> Split:
        """The training split."""
        return self.splits["train"]


def from_task(name: str, settings: TaskSettings, *, factored: bool = False) -> DataSet:
    """The data of a task, its labels factor by factor when `factored`."""
    task = load_task(name, settings)
    return from_loaded(task.factored() if factored else task)


def from_loaded(task: TaskData) -> DataSet:
    """The data of a task that is loaded."""
    kept = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(task.settings).items()}
    source = {"task": task.name, "settings": kept, "factored": task.is_factored}
    return DataSet(task.splits, task.per_step, source, task.unseen_share, task=task)


def stored_task(extra: Mapping[str, Any], **changes: Any) -> tuple[str, TaskSettings, bool]:
    """Name and settings of the task that a model file names, with `changes`, and whether its labels were factored.

    Raises
    ------
    ValueError
        If the model was not trained on a task, or what the file says about it is damaged.
    """
    source = extra.get("source")
    name, settings = (source.get("task"), source.get("settings")) if isinstance(source, dict) else (None, None)
    if not isinstance(source, dict) or not isinstance(name, str) or not isinstance(settings, dict):
        raise ValueError(f"the model was trained on {trained_on(extra)}, not on a task")
    try:
        chosen = TaskSettings(**(settings | changes))
    except (TypeError, ValueError) as error:
        raise ValueError(f"the stored settings of the task are damaged: {error}") from error
    return name, chosen, check_flag("the stored setting factored", source.get("factored", False))


def trained_on(extra: Mapping[str, Any]) -> str:
    """What a model file says that its model was trained on."""
    source = extra.get("source")
    known = (source.get("task") or source.get("data")) if isinstance(source, dict) else None
    return str(known or "unknown data")


def from_file(path: Path, *, per_step: bool, timesteps: int | None = None) -> DataSet:
    """The data of a file, see `convexsnn.data_files`.

    An .npz file holds ``X`` (n, T, d) or (n, d) and ``y``, optionally ``X_val``, ``y_val``, ``X_test``, ``y_test``, and
    for padded sequences the steps of each: ``lengths``, ``lengths_val``, ``lengths_test``.

    Raises
    ------
    ValueError
        When it is a folder, the file is unreadable, or an array is missing or of the wrong form.
    """
    check_no_folder(path)
    arrays = read_arrays(path, per_step=per_step)
    splits = {}
    for split in SPLITS:
        suffix = "" if split == "train" else f"_{split}"
        if split == "train" or {f"X{suffix}", f"y{suffix}", f"lengths{suffix}"} & arrays.keys():
            splits[split] = Split(read_input(arrays, path, suffix), _array(arrays, f"y{suffix}", path))
    if timesteps is not None and np.ndim(splits["train"].X) != 2:
        raise ValueError(f"--timesteps says how long a 2-D X is shown, but X in {path} has its own steps: leave it out")
    return DataSet(splits, per_step, {"data": str(path)}, timesteps=timesteps)


def from_folder(path: Path, *, per_step: bool) -> DataSet:
    """The data of a folder of .npz files, which are read one at a time; all are for training.

    Raises
    ------
    ValueError
        When there are no such files, one of them is unreadable, or they have no labels.
    """
    batches = as_batches(path)
    if batches.y is None:
        raise ValueError(f"the files in {path} must have labels, under the name y")
    split = Split(batches, batches.y)  # type: ignore[reportArgumentType] - estimators take them as they take arrays
    return DataSet({"train": split}, per_step, {"data": str(path)})


def check_splits(data: DataSet, estimator: Estimator) -> None:
    """Raise ValueError, naming the array, when a split could not be scored after training."""
    missing = estimator.missing == "carry"
    features = None
    for name, split in data.splits.items():
        if isinstance(split.X, Batches):  # which are read already
            continue
        array = "X" if name == "train" else f"X_{name}"
        sequences = as_sequences(split.X, timesteps=estimator.timesteps, missing=missing, name=array)
        if len(split.y) != len(sequences):
            raise ValueError(f"y of the {name} split has {len(split.y)} labels, but {array} {len(sequences)} sequences")
        features = features or sequences.n_features
        if sequences.n_features != features:
            raise ValueError(f"{array} has {sequences.n_features} features, but X has {features}")


def read_input(arrays: dict[str, np.ndarray], path: Path, suffix: str = "") -> np.ndarray | list[np.ndarray]:
    """X of one split, cut to its lengths where the file has them."""
    X = _array(arrays, f"X{suffix}", path)
    lengths = arrays.get(f"lengths{suffix}")
    if lengths is None:
        return X
    with reading(path, f"lengths{suffix}"):
        if X.ndim != 3:
            raise ValueError(f"it needs an X{suffix} of shape (n, T, d), got {X.shape}")
        integers = lengths.shape == (len(X),) and lengths.dtype.kind in "iu"
        if not integers or not ((lengths >= 1) & (lengths <= X.shape[1])).all():
            raise ValueError(f"it must be {len(X)} integers between 1 and {X.shape[1]}")
    return unpadded(X, lengths)


def _array(arrays: dict[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    with reading(path, f"array {name}"):
        if name not in arrays:
            raise ValueError(f"it is missing; there are {', '.join(sorted(arrays)) or 'no arrays'}")
        array = arrays[name]
        if array.ndim == 0 or len(array) == 0 or array.dtype.kind == "V":
            raise ValueError(f"it must be a plain array of at least one row, got {array.dtype} {array.shape}")
        return array
