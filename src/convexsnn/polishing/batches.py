"""What a loader gives, batch by batch: inputs, labels, weights and lengths, and which rows count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from convexsnn.checks import check_choice, check_flag, check_integer, check_real

FIELDS = ("x", "y", "weight", "lengths")
LABELS = ("sequence", "batch", "first")
CHANGES = "loader changes between passes"
FIXED = "Use a DataLoader with shuffle=False, and no random transforms"


@dataclass(frozen=True)
class Rows:
    """What each batch of the loader holds, and which of its rows are learned from.

    Attributes
    ----------
    fields : tuple of {"x", "y", "weight", "lengths"}
        What a batch holds, in this order. "weight" is the weight of each row, of shape (n,) or that of the labels;
        "lengths" the number of steps of each sequence (n,), those after it being padding.
    labels : {"sequence", "batch", "first"}
        y is one label a sequence, (n,); or one a step, (n, T); or one a step, (T, n). With one a step every pair of
        sequence and step is a row of its own.
    ignore_index : int, optional
        Rows with this label are left out.
    class_weight : "balanced" or mapping of int to float, optional
        Factor of the weight of each class's rows. "balanced" is rows / (classes * rows of the class).
    allow_missing_classes : bool
        Polish although some of the module's classes have no row. The polished readout will never answer these.

    Raises
    ------
    ValueError
        When a setting is not one of these.
    """

    fields: tuple[str, ...] = ("x", "y")
    labels: str = "sequence"
    ignore_index: int | None = None
    class_weight: str | Mapping[int, float] | None = None
    allow_missing_classes: bool = False

    def __post_init__(self) -> None:
        for field in self.fields:
            check_choice("fields", field, FIELDS)
        if len(set(self.fields)) != len(self.fields) or not {"x", "y"} <= set(self.fields):
            raise ValueError(f"fields must hold 'x' and 'y', and each name once, got {self.fields!r}")
        check_choice("labels", self.labels, LABELS)
        check_flag("allow_missing_classes", self.allow_missing_classes)
        if self.ignore_index is not None:
            check_integer("ignore_index", self.ignore_index, minimum=-(2**62))
        if isinstance(self.class_weight, Mapping):
            for label, weight in self.class_weight.items():
                check_real(f"class_weight[{label!r}]", weight, 0.0, open_minimum=True)
        elif self.class_weight is not None:
            check_choice("class_weight", self.class_weight, ("balanced",))

    @property
    def every_step(self) -> bool:
        """Whether there is one label a step."""
        return self.labels != "sequence"

    def read(self, batch: Any) -> ShownBatch:
        """A batch of the loader. Raises ValueError where it is not as declared."""
        if not isinstance(batch, (tuple, list)) or len(batch) != len(self.fields):
            what = f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else "")
            raise ValueError(f"loader must give batches ({', '.join(self.fields)}), got {what}")
        given = dict(zip(self.fields, batch, strict=True))
        y = _as_tensor(given["y"])
        if y.ndim == 0:
            raise ValueError("labels in loader must have one row a sequence; got a single number: batch the data set")
        if not self.every_step:
            n, labels = len(y), y
            keep = torch.ones(n, dtype=torch.bool)
        else:
            if y.ndim < 2:
                raise ValueError(f"labels={self.labels!r} was declared, but y has shape {tuple(y.shape)}")
            y = y.transpose(0, 1) if self.labels == "first" else y
            n, labels = len(y), y.flatten(0, 1)
            keep = torch.ones(y.shape[:2], dtype=torch.bool)
        lengths = self._lengths(given, n)
        if lengths is not None and self.every_step:
            keep &= torch.arange(keep.shape[1]) < lengths[:, None]
        weights = self._weights(given, keep.shape)
        keep = keep.flatten()
        if self.ignore_index is not None and labels.ndim == 1:
            keep &= labels != self.ignore_index
        if weights is not None:
            keep &= weights > 0
            weights = weights[keep]
        return ShownBatch(given["x"], n, labels[keep], weights, lengths, keep)

    def _lengths(self, given: dict[str, Any], n: int) -> Tensor | None:
        if "lengths" not in given:
            return None
        lengths = _as_tensor(given["lengths"])
        if lengths.shape != (n,) or lengths.is_floating_point() or bool((lengths < 1).any()):
            raise ValueError(
                f"lengths must be {n} positive integers, one a sequence, got {lengths.dtype} of shape "
                f"{tuple(lengths.shape)}"
            )
        return lengths.long()

    def _weights(self, given: dict[str, Any], shape: torch.Size) -> Tensor | None:
        if "weight" not in given:
            return None
        weights = _as_tensor(given["weight"]).to(torch.float64)
        if weights.ndim == 2 and self.labels == "first":
            weights = weights.T
        if weights.ndim == 1 and len(shape) == 2 and len(weights) == shape[0]:
            weights = weights[:, None].expand(shape)
        if weights.shape != shape:
            raise ValueError(f"weight must have one number a row, {tuple(shape)}, got shape {tuple(weights.shape)}")
        if not bool(((weights >= 0) & torch.isfinite(weights)).all()):
            raise ValueError("weight must hold finite numbers that are not negative")
        return weights.flatten()


class ShownBatch(NamedTuple):
    """One batch.

    Attributes
    ----------
    x : Any
        What the module is shown.
    n : int
        Sequences.
    labels : Tensor of shape (kept, ...)
    weights : float64 tensor of shape (kept,), or None
    lengths : int64 tensor of shape (n,), or None
    keep : bool tensor of shape (n,) or (n * T,)
        Which rows are learned from; rows are ordered by sequence, then step.
    """

    x: Any
    n: int
    labels: Tensor
    weights: Tensor | None
    lengths: Tensor | None
    keep: Tensor


class Labels(NamedTuple):
    """Labels and weights of all rows that are learned from."""

    values: Tensor
    weights: Tensor | None


def read_labels(loader: Iterable[Any], rows: Rows, name: str = "loader") -> Labels:
    """One pass over `loader` for its labels and weights.

    Raises
    ------
    TypeError
        When it is not iterable.
    ValueError
        When it can be read only once, is empty, or its batches are not as declared.
    """
    if not isinstance(loader, Iterable):
        raise TypeError(
            f"{name} must give batches (x, y), such as a DataLoader; {type(loader).__name__} is not iterable"
        )
    if iter(loader) is loader:
        raise ValueError(f"{name} can be read only once, and is needed twice: pass a DataLoader or a list of batches")
    batches = [batch._replace(x=None) for batch in map(rows.read, loader)]
    if not sum(batch.n for batch in batches):
        raise ValueError(f"{name} is empty")
    if len({(batch.labels.dtype, batch.labels.shape[1:]) for batch in batches}) > 1:
        raise ValueError(f"labels of all batches in {name} must be of one dtype and shape")
    labels = torch.cat([batch.labels for batch in batches])
    if not len(labels):
        raise ValueError(f"{name} has no row that is learned from: all are ignored, padding or of weight zero")
    parts = [batch.weights for batch in batches if batch.weights is not None]
    return Labels(labels, torch.cat(parts) if parts else None)


def same_batches(loader: Iterable[Any], rows: Rows, labels: Labels) -> Iterator[ShownBatch]:
    """The batches of one more pass; ValueError where labels or weights are not those of `labels`."""
    row = 0
    for given in loader:
        batch = rows.read(given)
        filled = slice(row, row + len(batch.labels))
        same = torch.equal(labels.values[filled], batch.labels)
        if labels.weights is not None and batch.weights is not None:
            same = same and torch.equal(labels.weights[filled], batch.weights)
        if not same:
            raise ValueError(f"{CHANGES}: its labels differ. {FIXED}")
        yield batch
        row = filled.stop
    if row != len(labels.values):
        raise ValueError(f"{CHANGES}: it gave {len(labels.values)} rows, then {row}. {FIXED}")


def _as_tensor(values: Any) -> Tensor:
    return (values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))).detach().cpu()
