"""The form that X had in fit: predict expects it again, and a form that looks transposed is named."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from convexsnn.arrays import plain_array
from convexsnn.batches import Batches
from convexsnn.checks import check_flag, check_integer, check_real
from convexsnn.notices import warn
from convexsnn.sequences import Sequences

# Neighbouring columns of a series are alike: correlations above SMOOTH are those of an axis of time. Features that are
# neighbours are seldom so alike, and less alike than the axis of time by SMOOTHER at least.
SMOOTH, SMOOTHER = 0.5, 0.3
# A 2-D X may be a table, so that more columns, and columns that are more alike, are asked for.
LONG, SMOOTH_TABLE = 16, 0.75


# Beyond the range of training by more than this part of its width, what a network answers is guesswork.
BEYOND = 0.25
# A constant feature may differ from what it was by this part of its value, which is rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Seen:
    """What the values of each feature were in fit, over all steps that are shown and known.

    Attributes
    ----------
    low, high, mean : tuple of d floats
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.low) == len(self.high) == len(self.mean):
            raise ValueError("low, high and mean must have one number a feature each")
        for place, (low, mean, high) in enumerate(zip(self.low, self.mean, self.high, strict=True)):
            for name, value in (("low", low), ("mean", mean), ("high", high)):
                check_real(f"{name} of feature {place}", value)
            if low > high:
                raise ValueError(f"low of feature {place} is above high")

    @classmethod
    def of(cls, sequences: Sequences) -> Seen:
        """What there is to remember; ValueError for a feature that is missing at every step."""
        shown, each = sequences.shown, []
        for place in range(sequences.n_features):  # one at a time, as X may be as large as memory allows
            values = sequences.values[:, :, place][shown].numpy()
            known = values[~np.isnan(values)]
            if not len(known):
                raise ValueError(f"feature {place} of X is missing at every step of every sequence: leave it out")
            low, high = float(known.min()), float(known.max())
            mean = 2.0 * float((0.5 * known / len(known)).sum())  # sums of halves do not overflow as easily
            each.append((low, high, min(max(mean, low), high)))
        return cls(*zip(*each, strict=True))

    @classmethod
    def of_batches(cls, batches: Batches) -> Seen:
        """The form of sequences that are read in batches."""
        chunks = [(cls.of(chunk), int(chunk.lengths.sum())) for chunk in batches.in_numbers()]
        seen, steps = zip(*chunks, strict=True)
        low, high = np.min([part.low for part in seen], axis=0), np.max([part.high for part in seen], axis=0)
        mean = np.clip(np.average([part.mean for part in seen], axis=0, weights=steps), low, high)
        return cls(*(tuple(values.tolist()) for values in (low, high, mean)))

    def warn_of_range(self, sequences: Sequences) -> None:
        """One warning where values lie beyond the range of training by more than a quarter of its width."""
        low, high = np.array(self.low), np.array(self.high)
        rounding = ROUNDING * np.maximum(np.abs(low), np.abs(high))
        slack, shown = np.maximum(BEYOND * (high - low), rounding), sequences.shown
        least, most = torch.from_numpy(low - slack), torch.from_numpy(high + slack)
        out = (((sequences.values < least) | (sequences.values > most)) & shown[:, :, None]).sum(dim=(0, 1)).numpy()
        if not out.any():
            return
        worst = int(out.argmax())
        warn(
            f"X leaves the range of training in {np.count_nonzero(out)} of {len(out)} features, most often in feature "
            f"{worst}: {out[worst]} of {int(shown.sum())} values lie far from {low[worst]:.6g} to {high[worst]:.6g}. "
            "There the network says little; are the units those of fit?"
        )


@dataclass(frozen=True)
class InputForm:
    """What predict and score expect of X.

    Attributes
    ----------
    n_features : int
    n_steps : int
        The number of steps of the longest sequence.
    sequences : bool
        Whether X had steps of its own, (n, T, d) or a list of (T_i, d), rather than being (n, d).
    seen : Seen
        What the values of each feature were.
    columns : tuple of str, optional
        The names of the features, where X was given as data frames.
    """

    n_features: int
    n_steps: int
    sequences: bool
    seen: Seen
    columns: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON has them."""
        seen = {name: list(values) for name, values in asdict(self.seen).items()}
        return asdict(self) | {"seen": seen, "columns": None if self.columns is None else list(self.columns)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> InputForm:
        """Inverse of `to_dict`. Raises TypeError or ValueError on fields of wrong names or types."""
        names = fields["columns"]
        seen = Seen(**{name: tuple(values) for name, values in fields["seen"].items()})
        own: dict[str, Any] = fields | {"seen": seen, "columns": None if names is None else tuple(names)}
        form = cls(**own)
        check_integer("n_features", form.n_features)
        check_integer("n_steps", form.n_steps)
        check_flag("sequences", form.sequences)
        if len(form.seen.low) != form.n_features:
            raise ValueError(f"seen must be of {form.n_features} features")
        if form.columns is not None and (
            len(form.columns) != form.n_features or not all(isinstance(name, str) for name in form.columns)
        ):
            raise ValueError(f"columns must be the names of {form.n_features} features")
        return form

    def check_rank(self, X: Any, *, sequences: bool) -> None:
        """ValueError where X has steps of its own and had none in fit, or the other way round."""
        if sequences == self.sequences:
            return
        if sequences:
            raise ValueError(
                f"X is sequences with steps of their own, but in fit it had shape (n, {self.n_features}), which was "
                f"shown as constant current for timesteps={self.n_steps}: pass that"
            )
        shape = plain_array(X, "X").shape
        one = f"; one sequence is X[None], of shape {(1, *shape)}" if len(shape) == 2 else ""
        raise ValueError(
            f"X has shape {shape}, but in fit it was sequences of shape (n, T, d) or a list of (T_i, d){one}"
        )

    def check_features(self, sequences: Sequences, owner: str) -> None:
        """ValueError where X has other features than in fit; says so where its axes are exchanged."""
        if sequences.n_features == self.n_features:
            return
        exchanged = sequences.equal_lengths and sequences.n_steps == self.n_features
        raise ValueError(
            f"X has {sequences.n_features} features, but {owner} is expecting {self.n_features} features as input"
            + (
                f". Its shape {tuple(sequences.values.shape)} looks like (n, d, T), and (n, T, d) is expected: pass "
                "X.transpose(0, 2, 1)"
                if exchanged
                else ""
            )
        )

    def compare_columns(self, columns: tuple[str, ...] | None, owner: str) -> None:
        """A warning, as scikit-learn gives it, where features have names in one of fit and predict only."""
        if columns is not None and self.columns is None:
            warn(f"X has feature names, but {owner} was fitted without feature names")
        if columns is None and self.columns is not None:
            warn(f"X does not have valid feature names, but {owner} was fitted with feature names")


def warn_of_axes(sequences: Sequences) -> None:
    """Warn where the last axis of sequences of equal length looks like time, as aeon and the UCR archive have it."""
    n, T, d = sequences.values.shape
    if not sequences.equal_lengths or d <= T:
        return
    shown = f"X of shape {(n, T, d)} is read as (n, T, d): {T} steps of {d} features"
    advice = "If the last axis is time, pass X.transpose(0, 2, 1)."
    if T == 1:
        warn(f"{shown}. A network that sees one step has no memory. {advice}")
        return
    values = sequences.values.numpy()
    across, along = likeness(values), likeness(values.transpose(0, 2, 1))
    if across > SMOOTH and across > along + SMOOTHER:
        warn(
            f"{shown}, but neighbouring features are alike (correlation {across:.2f}) and neighbouring steps are not "
            f"({along:.2f}). {advice}"
        )


def warn_of_table(array: np.ndarray, timesteps: int) -> None:
    """Warn where the columns of a table (n, d), which are shown as constant current, look like steps of one series."""
    n, d = array.shape
    alike = likeness(array) if d >= LONG and n > 2 else 0.0
    if alike > SMOOTH_TABLE:
        warn(
            f"X of shape {(n, d)} is read as {d} features, shown as constant current for timesteps={timesteps}: its "
            f"neighbouring columns are alike (correlation {alike:.2f}), as the steps of a series are. If its columns "
            "are steps, pass X[:, :, None]."
        )


def likeness(values: np.ndarray) -> float:
    """The median correlation of neighbouring entries of the last axis, over all other axes; 0 where there is none."""
    rows = values.reshape(-1, values.shape[-1])
    rows = rows - rows.mean(axis=0)
    rows /= np.maximum(np.abs(rows).max(axis=0), np.finfo(np.float64).tiny)  # squares neither vanish nor overflow
    squares = np.square(rows).sum(axis=0)
    products = (rows[:, 1:] * rows[:, :-1]).sum(axis=0)
    size = np.sqrt(squares[1:] * squares[:-1])
    vary = size > 0.0
    return float(np.median(products[vary] / size[vary])) if vary.any() else 0.0
