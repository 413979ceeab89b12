"""Sets of the UCR and UEA archives of time series, through aeon."""

from __future__ import annotations

import re
from http.client import HTTPException
from typing import Any

import numpy as np

from convexsnn.tasks.base import SequenceArrays, Split, Streams, TaskData, TaskInfo, TaskSettings, assemble

INFO = TaskInfo(
    name="aeon:NAME",
    description="a set of the UCR and UEA archives, on its own split",
    defaults=TaskSettings(),
    per_step="never",
    source="aeon, which brings a few sets and fetches the others",
    examples=("aeon:GunPoint", "aeon:BasicMotions", "aeon:JapaneseVowels"),
)


def load_archive(name: str, settings: TaskSettings, _: Streams) -> TaskData:
    """A set on its published split, which has no validation part; labels are numbered in the order of their names.

    Raises
    ------
    ImportError
        If aeon is not installed; says how to install it.
    ValueError
        If aeon has no such set for classification, or cannot fetch it.
    """
    own = name.removeprefix("aeon:")
    if not re.fullmatch(r"[\w-]+", own):
        raise ValueError(f"{own!r} is not the name of a set, such as GunPoint")
    (X, y), (X_test, y_test) = (_part(own, part, settings) for part in ("train", "test"))
    classes, numbers = np.unique(np.concatenate([y, y_test]), return_inverse=True)
    splits = (Split(X, numbers[: len(y)]), None, Split(X_test, numbers[len(y) :]))
    return assemble(name, settings, splits, tuple(map(str, classes)))


def _part(name: str, part: str, settings: TaskSettings) -> tuple[SequenceArrays, np.ndarray]:
    """Sequences and labels of one part."""
    try:
        from aeon.datasets import load_classification
    except ImportError as error:
        raise ImportError(
            f"tasks aeon:NAME need the package aeon: pip install 'convexsnn[series]' ({error})"
        ) from error
    folder = None if settings.data_dir is None else str(settings.data_dir)
    try:
        X, y = load_classification(name, split=part, extract_path=folder)[:2]
    except (OSError, ValueError, KeyError, HTTPException) as error:
        raise ValueError(f"aeon cannot load the set {name}: {error}") from error
    return _by_step(X), np.asarray(y)


def _by_step(X: Any) -> SequenceArrays:
    """Series (d, T_i) as sequences (T_i, d)."""
    series = [np.asarray(x, dtype=np.float64).T for x in X]
    return np.stack(series) if len({len(x) for x in series}) == 1 else series
