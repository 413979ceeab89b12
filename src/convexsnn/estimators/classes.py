"""Labels and class indices, of one output or of several: the latter are columns, each with classes of its own."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from convexsnn.checks import check_real
from convexsnn.losses import Head

Classes = np.ndarray | list[np.ndarray]
"""Sorted labels; of several outputs a list of such arrays."""


def distinct_classes(labels: np.ndarray) -> Classes:
    """The classes of labels (rows,), or of each output of labels (rows, H)."""
    return np.unique(labels) if labels.ndim == 1 else [np.unique(column) for column in labels.T]


def most_classes(labels: np.ndarray) -> int:
    """The classes of the output that has most."""
    classes = distinct_classes(labels)
    return max(map(len, classes)) if isinstance(classes, list) else len(classes)


def check_kind_of_labels(labels: np.ndarray, known: np.ndarray) -> None:
    """ValueError where labels are of a kind, text or numbers, that no known one is of: none of them could be right."""
    foreign = _kinds(labels) - _kinds(known)
    if foreign:
        raise ValueError(
            f"y holds {', '.join(sorted(foreign))} such as {_shown(labels)}, but y in fit held "
            f"{', '.join(sorted(_kinds(known)))} such as {_shown(known)}: convert it, as in y.astype(...)"
        )


def _shown(labels: np.ndarray) -> str:
    """The first label as Python writes it."""
    return repr(labels.ravel()[:1].tolist()[0])


def _kinds(labels: np.ndarray) -> set[str]:
    match labels.dtype.kind:
        case "b" | "i" | "u" | "f":
            return {"numbers"}
        case "U" | "T":
            return {"text"}
        case "O":
            return set(map(_kind, labels.ravel().tolist()))
        case _:
            return {str(labels.dtype)}


def _kind(label: Any) -> str:
    match label:
        case str():
            return "text"
        case numbers.Real() | np.bool_():
            return "numbers"
        case _:
            return type(label).__name__


def class_index(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """Positions of labels (rows,) or (rows, H) in their classes; ValueError on labels that have none."""
    if isinstance(classes, list):
        if labels.ndim != 2 or labels.shape[1] != len(classes):
            outputs = 1 if labels.ndim == 1 else labels.shape[1]
            raise ValueError(f"y has {outputs} outputs, but y in fit had {len(classes)}")
        return np.column_stack([class_index(column, own) for column, own in zip(labels.T, classes, strict=True)])
    if labels.ndim != 1:
        raise ValueError(f"y has {labels.shape[1]} outputs, but y in fit had one")
    check_kind_of_labels(labels, classes)
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(f"y holds labels that were not seen in fit: {unknown[:5].tolist()}")
    return np.searchsorted(classes, labels)


def class_labels_of(index: np.ndarray, classes: Classes) -> np.ndarray:
    """Inverse of `class_index`."""
    if isinstance(classes, list):
        return np.stack([own[column] for column, own in zip(index.T, classes, strict=True)], axis=1)
    return classes[index]


def same_answers(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Whether each row of labels (rows,) or (rows, H) is right in all its outputs; bool, (rows,).

    ValueError where labels and predictions differ in outputs, or in kind, so that none could be right.
    """
    if labels.ndim != predicted.ndim or labels.shape[1:] != predicted.shape[1:]:
        given, had = ("one output" if a.ndim == 1 else f"{a.shape[1]} outputs" for a in (labels, predicted))
        raise ValueError(f"y has {given}, but y in fit had {had}")
    check_kind_of_labels(labels, predicted)
    right = labels == predicted
    return right if right.ndim == 1 else right.all(axis=1)


def balance_of(class_weight: Any, labels: np.ndarray, classes: Classes) -> np.ndarray:
    """The factor by which `class_weight` multiplies the weight of each row, (rows,); over outputs, the product."""
    index = class_index(labels, classes)
    if not isinstance(classes, list):
        return compute_class_weight(class_weight, classes=classes, y=labels)[index]
    if isinstance(class_weight, dict):
        raise ValueError("class_weight must be None or 'balanced' where y has several outputs, not a dict")
    columns = zip(labels.T, index.T, classes, strict=True)
    factors = [compute_class_weight(class_weight, classes=own, y=column)[at] for column, at, own in columns]
    return np.prod(factors, axis=0)


def read_output_weights(weights: Any) -> tuple[float, ...] | None:
    """`output_weights` as users give them; ValueError when they are not positive numbers."""
    if weights is None:
        return None
    if isinstance(weights, str) or not isinstance(weights, Sequence | np.ndarray):
        raise ValueError(f"output_weights must be a sequence of positive numbers or None, not {weights!r}")
    return tuple(check_real(f"output_weights[{k}]", w, 0.0, open_minimum=True) for k, w in enumerate(weights))


def heads_of(classes: Classes, output_weights: Any) -> tuple[Head, ...]:
    """The heads of the loss: one an output where there are several, else none.

    Raises
    ------
    ValueError
        When there are not as many weights as outputs.
    """
    weights = read_output_weights(output_weights)
    if not isinstance(classes, list):
        if weights is not None:
            raise ValueError("output_weights must be None where y has one output a label")
        return ()
    if weights is None:
        weights = (1.0,) * len(classes)
    if len(weights) != len(classes):
        raise ValueError(f"output_weights must hold one number an output: y has {len(classes)}, got {len(weights)}")
    return tuple(Head(len(own), weight) for own, weight in zip(classes, weights, strict=True))
