"""Strict reader of .csv files of sequences."""

from __future__ import annotations

import csv
from itertools import groupby
from pathlib import Path

import numpy as np

from convexsnn.data_files.text import labels_of, padded, parse_number, read_lines
from convexsnn.reading import reading

# The columns that are no features.
SEQUENCE, LABEL, LABELS = "sequence", "y", "y_"


def read_csv(path: Path, *, per_step: bool = False) -> dict[str, np.ndarray]:
    """X, y where there are labels, and lengths where these differ.

    The first line names the columns. With a column ``sequence`` every line is one step of the sequence that it names,
    steps follow one another, and the other columns are the features. Without it every line is one sequence, and the
    other columns are the steps of its one feature. A column ``y`` holds the labels; several outputs have columns whose
    names begin with ``y_``.

    Parameters
    ----------
    path : Path
    per_step : bool
        Whether y is one label a step, instead of one a sequence, which is then the same in all steps.

    Returns
    -------
    dict
        ``X``, float64 of shape (n, T, d), with NaN for missing values (an empty field, ``?``, ``nan`` or ``NA``) and
        zero after the end of a sequence. ``y`` of shape (n,), (n, H), or with `per_step` (n, T) or (n, T, H).
        ``lengths``, int64 of shape (n,).

    Raises
    ------
    DamagedFileError
        When the file cannot be read, or a line is not of this form; names the line.
    """
    names, rows = _read_rows(path)
    of_labels = [k for k, name in enumerate(names) if name == LABEL or name.startswith(LABELS)]
    of_features = [k for k, name in enumerate(names) if k not in of_labels and name != SEQUENCE]
    X = _features(path, rows, of_features)
    y = _labels(path, rows, of_labels, names)
    if SEQUENCE not in names:
        return {"X": X[:, :, None]} | ({} if y is None else {"y": y})
    place = names.index(SEQUENCE)
    return _in_sequences(path, [fields[place] for _, fields in rows], X, y, per_step=per_step)


_Row = tuple[int, list[str]]
"""The number of a line, and its fields."""


def _read_rows(path: Path) -> tuple[list[str], list[_Row]]:
    """The names of the columns, and the lines below them that are not empty."""
    with reading(path, "text"):
        lines = csv.reader(read_lines(path), strict=True)
        rows = [(lines.line_num, fields) for fields in lines if fields]
        if len(rows) < 2:
            raise ValueError("it must have a line that names the columns, and at least one more")
    names = [name.strip() for name in rows[0][1]]
    with reading(path, f"line {rows[0][0]}"):
        _check_names(names)
    for line, fields in rows[1:]:
        with reading(path, f"line {line}"):
            if len(fields) != len(names):
                raise ValueError(f"it has {len(fields)} fields, but there are {len(names)} columns")
    return names, rows[1:]


def _check_names(names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError("a column occurs twice")
    try:
        parse_number(names[0])
    except ValueError:
        return
    raise ValueError("it must name the columns, but it begins with a number")


def _features(path: Path, rows: list[_Row], columns: list[int]) -> np.ndarray:
    """The numbers of some columns, float64 of shape (rows, columns)."""
    with reading(path, "columns"):
        if not columns:
            raise ValueError("there is no column of numbers beside the labels")
    X = np.empty((len(rows), len(columns)))
    for row, (line, fields) in zip(X, rows, strict=True):
        with reading(path, f"line {line}"):
            row[:] = [parse_number(fields[k]) for k in columns]
    return X


def _labels(path: Path, rows: list[_Row], columns: list[int], names: list[str]) -> np.ndarray | None:
    """Labels of all lines, (rows,) or (rows, H); None where there are none."""
    each = []
    for k in columns:
        with reading(path, f"column {names[k]}"):
            each.append(labels_of([fields[k] for _, fields in rows]))
    if not each:
        return None
    return each[0] if names[columns[0]] == LABEL and len(each) == 1 else np.stack(each, axis=1)


def _in_sequences(
    path: Path, owners: list[str], X: np.ndarray, y: np.ndarray | None, *, per_step: bool
) -> dict[str, np.ndarray]:
    """Lines that are steps, gathered into sequences."""
    with reading(path, f"column {SEQUENCE}"):
        runs = [(owner, len(list(run))) for owner, run in groupby(owners)]
        if len({owner for owner, _ in runs}) < len(runs):
            raise ValueError("the lines of a sequence must follow one another")
        ends = np.cumsum([length for _, length in runs])[:-1]
        arrays = padded(np.split(X, ends))
    if y is None:
        return arrays
    steps = np.split(y, ends)
    if per_step:
        return arrays | {"y": padded(steps, "y")["y"]}
    for (owner, _), own in zip(runs, steps, strict=True):
        with reading(path, f"sequence {owner[:40]}"):
            if (own != own[0]).any():
                raise ValueError("its label changes: pass --per-step where every step has a label")
    return arrays | {"y": np.stack([own[0] for own in steps])}
