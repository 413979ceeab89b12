"""Input sequences: a padded tensor and the length of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_integer


@dataclass(frozen=True, eq=False)
class Sequences:
    """n sequences of d features, zero-padded at the end to the longest.

    Attributes
    ----------
    values : float tensor of shape (n, T, d)
    lengths : int64 tensor of shape (n,)
        Steps of each sequence, between 1 and T. Steps beyond are never shown to the network.
    """

    values: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return self.values.shape[0]

    @property
    def n_steps(self) -> int:
        """T, the length of the longest sequence."""
        return self.values.shape[1]

    @property
    def n_features(self) -> int:
        """d, the number of input features."""
        return self.values.shape[2]

    @property
    def equal_lengths(self) -> bool:
        """Whether all sequences have T steps."""
        return bool((self.lengths == self.n_steps).all())

    def rows(self, every_step: bool) -> int:
        """Rows of the dictionary: one a sequence, or one a step of each sequence."""
        return int(self.lengths.sum()) if every_step else len(self)

    def take(self, index: Tensor | slice) -> Sequences:
        """The sequences named by `index`."""
        return Sequences(self.values[index], self.lengths[index])

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Sequences:
        """The same sequences on `device`, values in `dtype`."""
        return Sequences(self.values.to(device=device, dtype=dtype), self.lengths.to(device))

    def unflatten(self, rows: np.ndarray) -> np.ndarray | list[np.ndarray]:
        """Step rows (sum of lengths, ...) as (n, T, ...) when lengths are equal, else as a list of (T_i, ...)."""
        if self.equal_lengths:
            return rows.reshape(len(self), self.n_steps, *rows.shape[1:])
        return np.split(rows, np.cumsum(self.lengths.cpu().numpy())[:-1])


@isolated
def as_sequences(X: Any, *, timesteps: int | None = None, lengths: Any = None, name: str = "X") -> Sequences:
    """Read sequences from arrays.

    Parameters
    ----------
    X : array of shape (n, T, d), or list of n arrays of shape (T_i, d), or array of shape (n, d)
        The last is shown as constant current for `timesteps` steps.
    timesteps : int, optional
        Steps for which a 2-D `X` is shown; None refuses a 2-D `X`.
    lengths : int array of shape (n,), optional
        With a 3-D `X`: the steps of each sequence; the rest is padding and is ignored.
    name : str
        The argument's name in errors.

    Returns
    -------
    Sequences
        float64 values on the CPU.

    Raises
    ------
    ValueError, TypeError
        Empty input, wrong rank, differing feature counts, zero steps, NaN or infinity, non-numeric entries.
    """
    if lengths is None and isinstance(X, (list, tuple)) and len(X) and all(np.ndim(x) == 2 for x in X):
        return _from_list(X, name)
    if timesteps is not None:
        check_integer("timesteps", timesteps)
    values = _numeric(X, name)
    if values.ndim == 2 and timesteps is not None:
        values = np.repeat(values[:, None, :], timesteps, axis=1)
    if values.ndim != 3:
        wanted = "(n, T, d), or be a list of (T_i, d) arrays" + (", or (n, d)" if timesteps is not None else "")
        raise ValueError(f"{name} must have shape {wanted}; got an array of shape {values.shape}. Reshape your data.")
    _check_sizes(values.shape, name)
    return Sequences(torch.from_numpy(values), _lengths(lengths, values, name))


def _from_list(X: Sequence[Any], name: str) -> Sequences:
    arrays = [_numeric(x, f"{name}[{i}]") for i, x in enumerate(X)]
    features = {a.shape[1] for a in arrays}
    if len(features) > 1:
        raise ValueError(f"all sequences in {name} must have the same number of features, got {sorted(features)}")
    for i, a in enumerate(arrays):
        if a.shape[0] == 0:
            raise ValueError(f"{name}[{i}] has no steps (T = 0): drop it or give it at least one step")
    longest = max(a.shape[0] for a in arrays)
    _check_sizes((len(arrays), longest, arrays[0].shape[1]), name)
    values = np.zeros((len(arrays), longest, arrays[0].shape[1]))
    for row, a in zip(values, arrays, strict=True):
        row[: len(a)] = a
    return Sequences(torch.from_numpy(values), torch.tensor([len(a) for a in arrays]))


def _numeric(X: Any, name: str) -> np.ndarray:
    if isinstance(X, Tensor):
        X = X.detach().cpu().numpy()
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ValueError(f"{name} is ragged: pass a list of (T_i, d) arrays of equal d") from error
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported in {name}: pass real numbers")
    if array.dtype.kind in "mMV":
        raise ValueError(f"{name} must be numeric, got dtype {array.dtype}")
    try:
        array = np.array(array, dtype=np.float64)  # a copy: the caller's array is never aliased
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numeric, got dtype {array.dtype}: {error}") from error
    if not np.isfinite(array).all():
        raise ValueError(f"{name} contains NaN or infinity: impute or drop those entries")
    return array


def _check_sizes(shape: tuple[int, ...], name: str) -> None:
    n, T, d = shape
    for count, what in ((n, "sequence"), (T, "step"), (d, "feature")):
        if count == 0:
            raise ValueError(f"{name} must hold at least one {what}, got shape {shape}")


def _lengths(lengths: Any, values: np.ndarray, name: str) -> Tensor:
    n, T, _ = values.shape
    if lengths is None:
        return torch.full((n,), T)
    array = np.asarray(lengths)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise ValueError(f"lengths must be {n} integers, one a sequence of {name}, got {array.dtype} {array.shape}")
    if array.min() < 1 or array.max() > T:
        raise ValueError(f"lengths must lie between 1 and {T} (the steps of {name}), got {array.min()}..{array.max()}")
    return torch.from_numpy(array.astype(np.int64))
