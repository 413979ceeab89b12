"""Training data as the convex program has them, read from plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np


class RowsPart(NamedTuple):
    """Some sequences: values (n, T, d), zero beyond the end of each, lengths (n,), encoded targets (rows, C)."""

    values: np.ndarray
    lengths: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, eq=False)
class ProgramRows:
    """Sequences, which are read part by part, and encoded targets.

    Attributes
    ----------
    read : callable
        Gives the parts, from the first on at every call.
    shape : tuple of int
        n, T and d: the sequences, their most steps, and the features.
    lengths : int64 array of shape (n,)
    targets : float64 array of shape (rows, C)
    """

    read: Callable[[], Iterable[RowsPart]]
    shape: tuple[int, int, int]
    lengths: np.ndarray
    targets: np.ndarray

    def reading(self, digest: Any) -> Iterator[RowsPart]:
        """The parts, while the SHA-256 of all that is read goes into `digest`: so what is used is what is digested.

        It is that of values, lengths and targets, each after its dtype and shape.
        """
        digest.update(f"{np.dtype(np.float64).str}{self.shape}".encode())
        lengths = []
        for part in self.read():
            digest.update(self._padded(part.values).tobytes())
            lengths.append(part.lengths)
            yield part
        for array in (np.concatenate(lengths), self.targets):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())

    def _padded(self, values: np.ndarray) -> np.ndarray:
        n, steps, features = values.shape
        if steps == self.shape[1]:
            return values
        return np.concatenate([values, np.zeros((n, self.shape[1] - steps, features))], axis=1)


def read_rows(X: Any, y: Any, header: dict[str, Any]) -> ProgramRows:
    """X (n, T, d), a list of (T_i, d), or (n, d), and labels y, as the model of this header was trained on them.

    X may also be a function that gives batches (X, y), of which one is in memory at a time; then y is None.

    Raises
    ------
    ValueError
        When the data do not fit one another or the model.
    """
    if callable(X):
        if y is not None:
            raise ValueError("y must be None where X is a function that gives batches (X, y)")
        return _streamed(cast("Callable[[], Iterable[Any]]", X), header)
    part = _read_part(X, y, header)
    return ProgramRows(lambda: [part], part.values.shape, part.lengths, part.targets)


def _streamed(batches: Callable[[], Iterable[Any]], header: dict[str, Any]) -> ProgramRows:
    def read() -> Iterator[RowsPart]:
        return (_read_part(X, y, header) for X, y in batches())

    shapes, lengths, targets = [], [], []
    for part in read():
        shapes.append(part.values.shape)
        lengths.append(part.lengths)
        targets.append(part.targets)
    if len({features for _, _, features in shapes}) != 1:
        raise ValueError("X must give batches, all of the same number of features")
    shape = sum(n for n, _, _ in shapes), max(steps for _, steps, _ in shapes), shapes[0][2]
    return ProgramRows(read, shape, np.concatenate(lengths), np.concatenate(targets))


def _read_part(X: Any, y: Any, header: dict[str, Any]) -> RowsPart:
    parameters = header["parameters"]
    values, lengths = _sequences(X, int(parameters["timesteps"]))
    if parameters["missing"] == "carry":
        values = _carried(values, header["fitted"]["input"]["seen"]["mean"])
    labels = _flatten(y, lengths) if parameters["per_step"] else np.asarray(y)
    rows = int(lengths.sum()) if parameters["per_step"] else len(lengths)
    if len(labels) != rows:
        raise ValueError(f"y has {len(labels)} labels, but X has {rows} rows")
    return RowsPart(np.ascontiguousarray(values), lengths, _targets(labels, header))


def _sequences(X: Any, timesteps: int) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(X, (list, tuple)) and len({np.shape(x) for x in X}) > 1:
        lengths = np.array([len(x) for x in X])
        values = np.zeros((len(X), lengths.max(), np.shape(X[0])[1]))
        for row, x in zip(values, X, strict=True):
            row[: len(x)] = x
        return values, lengths
    values = np.array(X, dtype=np.float64)
    if values.ndim == 2:
        values = np.repeat(values[:, None, :], timesteps, axis=1)
    if values.ndim != 3:
        raise ValueError(f"X must have shape (n, T, d), got {values.shape}")
    return values, np.full(len(values), values.shape[1])


def _carried(values: np.ndarray, first: Sequence[float]) -> np.ndarray:
    """Each missing value as the one of the step before, and at first as `first` says."""
    filled, last = values.copy(), np.broadcast_to(np.array(first, dtype=np.float64), values[:, 0].shape)
    for step in range(values.shape[1]):
        last = np.where(np.isnan(values[:, step]), last, values[:, step])
        filled[:, step] = last
    return filled


def _flatten(y: Any, lengths: np.ndarray) -> np.ndarray:
    if len(y) != len(lengths):
        raise ValueError(f"y has labels for {len(y)} sequences, but X has {len(lengths)}")
    return np.concatenate([np.asarray(own)[:length] for own, length in zip(y, lengths, strict=True)])


def _targets(labels: np.ndarray, header: dict[str, Any]) -> np.ndarray:
    if header["estimator"] == "SpikingRegressor":
        if header["fitted"]["bypass"] is not None:
            raise ValueError("there is no exact proof of a fit with a bypass, whose targets are less a rounded product")
        scale = {name: np.array(values) for name, values in header["fitted"]["target_scale"].items()}
        return (labels.astype(np.float64).reshape(len(labels), -1) - scale["offset"]) / scale["unit"]
    classes = header["fitted"]["classes"]
    if isinstance(header["fitted"]["classes_dtype"], list):
        if labels.ndim != 2 or labels.shape[1] != len(classes):
            raise ValueError(f"y must have {len(classes)} outputs, got shape {labels.shape}")
        return np.concatenate([_one_hot(own, known) for own, known in zip(labels.T, classes, strict=True)], axis=1)
    hot = _one_hot(labels.reshape(len(labels)), classes)
    if header["parameters"]["loss"] == "cross_entropy":
        return hot
    return 2.0 * hot[:, 1:] - 1.0 if len(classes) == 2 else 2.0 * hot - 1.0


def _one_hot(labels: np.ndarray, classes: Sequence[Any]) -> np.ndarray:
    position = {label: k for k, label in enumerate(classes)}
    try:
        return np.eye(len(classes))[[position[label] for label in labels.tolist()]]
    except KeyError as error:
        raise ValueError(f"y holds a label that the model does not know: {error}") from error
