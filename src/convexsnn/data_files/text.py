"""What files of text share: numbers, missing values, and sequences of unequal length as a padded array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convexsnn.checks import check_memory
from convexsnn.reading import read_whole, reading

LARGEST_TEXT = 1 << 31
MISSING = {"", "?", "nan", "na"}


def read_lines(path: Path) -> list[str]:
    """The lines of a file of UTF-8. Raises DamagedFileError."""
    with reading(path, "text"):
        return read_whole(path, LARGEST_TEXT).decode("utf-8-sig").splitlines()


def parse_number(text: str) -> float:
    """The number that a field of text says; NaN for a missing value, ValueError for anything else."""
    own = text.strip()
    if own.lower() in MISSING:
        return float("nan")
    try:
        if "_" in own:
            raise ValueError
        return float(own)
    except ValueError as error:
        raise ValueError(f"{own[:40]!r} is not a number") from error


def labels_of(texts: Sequence[str]) -> np.ndarray:
    """Labels as whole numbers where all are, else as numbers where all are, else as text; ValueError if one misses."""
    own = [text.strip() for text in texts]
    if any(text.lower() in MISSING for text in own):
        raise ValueError("a label is missing: drop its sequence, or leave the label of all sequences out")
    for kind in (np.int64, np.float64):
        try:
            return np.array([kind(text) for text in own])
        except (ValueError, OverflowError):
            continue
    return np.array(own)


def padded(sequences: Sequence[np.ndarray], name: str = "X") -> dict[str, np.ndarray]:
    """Arrays of (T_i, ...) as one of (n, T, ...), zero after the end, and their lengths where these differ."""
    lengths = np.array([len(x) for x in sequences])
    shape = (len(sequences), int(lengths.max()), *sequences[0].shape[1:])
    check_memory(f"the longest sequence pads {name} to an array", 8 * int(np.prod(shape, dtype=object)))
    values = np.zeros(shape, dtype=np.result_type(*sequences))
    for row, x in zip(values, sequences, strict=True):
        row[: len(x)] = x
    return {name: values} if (lengths == shape[1]).all() else {name: values, "lengths": lengths}
