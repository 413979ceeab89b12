"""Input sequences: a padded tensor and the length of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from convexsnn.arrays import check_entries, column_names, plain_array, real_array
from convexsnn.caller import isolated
from convexsnn.checks import check_integer, check_memory
from convexsnn.frames import in_sequences

# Numbers that are read at a time, where many sequences are gone through and nothing else says how many.
READ_NUMBERS = 2**20


class SequenceSource(ABC):
    """n sequences of d features, however they are kept: `Sequences` in memory, `Batches` read batch by batch.

    Attributes
    ----------
    lengths : int64 tensor of shape (n,)
        Steps of each sequence, at least 1.
    kept : str
        How the sequences are kept, in words.
    """

    lengths: Tensor
    kept: ClassVar[str]

    @property
    @abstractmethod
    def n_steps(self) -> int:
        """T, the length of the longest sequence."""

    @property
    @abstractmethod
    def n_features(self) -> int:
        """d, the number of input features."""

    @property
    @abstractmethod
    def sample(self) -> Sequences:
        """The sequences from which hidden weights are drawn: all of them, or the first batch."""

    @abstractmethod
    def chunks(self, size: int) -> Iterator[Sequences]:
        """All sequences in their order, `size` at a time, zero-padded to T steps."""

    def in_numbers(self, most: int = READ_NUMBERS) -> Iterator[Sequences]:
        """All sequences in their order, at a time as many as hold `most` numbers, at least one."""
        return self.chunks(max(1, most // max(1, self.n_steps * self.n_features)))

    @abstractmethod
    def take(self, index: Tensor | slice) -> SequenceSource:
        """The sequences named by `index`."""

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def equal_lengths(self) -> bool:
        """Whether all sequences have T steps."""
        return bool((self.lengths == self.n_steps).all())

    def rows(self, every_step: bool) -> int:
        """Rows of the dictionary: one a sequence, or one a step of each sequence."""
        return int(self.lengths.sum()) if every_step else len(self)

    def unflatten(self, rows: np.ndarray) -> np.ndarray | list[np.ndarray]:
        """Step rows (sum of lengths, ...) as (n, T, ...) when lengths are equal, else as a list of (T_i, ...)."""
        if self.equal_lengths:
            return rows.reshape(len(self), self.n_steps, *rows.shape[1:])
        return np.split(rows, np.cumsum(self.lengths.cpu().numpy())[:-1])


@dataclass(frozen=True, eq=False)
class Sequences(SequenceSource):
    """n sequences of d features, zero-padded at the end to the longest.

    Attributes
    ----------
    values : float tensor of shape (n, T, d)
    lengths : int64 tensor of shape (n,)
        Steps of each sequence, between 1 and T. Steps beyond are never shown to the network.
    """

    kept: ClassVar[str] = "in memory"

    values: Tensor
    lengths: Tensor

    @property
    def n_steps(self) -> int:
        """T, the length of the longest sequence."""
        return self.values.shape[1]

    @property
    def n_features(self) -> int:
        """d, the number of input features."""
        return self.values.shape[2]

    @property
    def sample(self) -> Sequences:
        """All of them."""
        return self

    def chunks(self, size: int) -> Iterator[Sequences]:
        """See `SequenceSource`."""
        return (self.take(slice(start, start + size)) for start in range(0, len(self), size))

    @property
    def shown(self) -> Tensor:
        """Which steps are shown to a network and which are padding, bool of shape (n, T)."""
        return torch.arange(self.n_steps, device=self.lengths.device) < self.lengths.unsqueeze(1)

    def take(self, index: Tensor | slice) -> Sequences:
        """The sequences named by `index`."""
        return Sequences(self.values[index], self.lengths[index])

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Sequences:
        """The same sequences on `device`, values in `dtype`."""
        return Sequences(self.values.to(device=device, dtype=dtype), self.lengths.to(device))


@isolated
def as_sequences(
    X: Any,
    *,
    timesteps: int | None = None,
    lengths: Any = None,
    columns: tuple[str, ...] | None = None,
    missing: bool = False,
    name: str = "X",
) -> Sequences:
    """Read sequences from arrays.

    Parameters
    ----------
    X : array of shape (n, T, d), or list of n arrays of shape (T_i, d), or array of shape (n, d)
        The last is shown as constant current for `timesteps` steps. Arrays of numpy or torch, data frames of (T_i, d),
        nested lists, or an array of n objects that are such arrays. Or one data frame of sequences: with an index of
        two levels, the sequence and the step; or with a series in each cell. `Sequences` are taken as they are.
    timesteps : int, optional
        Steps for which a 2-D `X` is shown; None refuses a 2-D `X`.
    lengths : int array of shape (n,), optional
        The number of steps of each sequence of a 3-D `X`. What lies behind is padding and is ignored.
    columns : tuple of str, optional
        The order in which the columns of data frames are to be read; None is that of the first frame.
    missing : bool
        Whether missing values (NaN) are let through; `carried_forward` then fills them.
    name : str
        The argument's name in errors.

    Returns
    -------
    Sequences
        float64 values on the CPU.

    Raises
    ------
    ValueError
        Empty input, wrong rank, differing feature counts, zero steps, NaN or infinity, non-numeric entries.
    """
    if isinstance(X, Sequences):
        return _as_given(X, lengths, name, missing=missing)
    X = unwrapped(X)
    if lengths is None and is_sequential(X) and isinstance(X, (list, tuple)):
        return _from_list(X, columns, name, missing=missing)
    if timesteps is not None:
        check_integer("timesteps", timesteps)
    values = real_array(X, name, missing=missing or lengths is not None)
    if values.ndim == 2 and timesteps is not None:
        check_memory(f"timesteps={timesteps} makes an array of {name}", 8 * timesteps * values.size)
        values = np.repeat(values[:, None, :], timesteps, axis=1)
    if values.ndim != 3:
        wanted = "(n, T, d), or be a list of (T_i, d) arrays" + (", or (n, d)" if timesteps is not None else "")
        raise ValueError(f"{name} must have shape {wanted}; got an array of shape {values.shape}. Reshape your data.")
    _check_sizes(values.shape, name)
    sequences = Sequences(torch.from_numpy(values), _lengths(lengths, values, name))
    if lengths is not None:
        values[~sequences.shown.numpy()] = 0.0
        check_entries(values, name, missing=missing)
    return sequences


def in_memory(source: SequenceSource) -> Sequences:
    """The sequences, for what needs all of them at once; ValueError where they are kept in another way."""
    if not isinstance(source, Sequences):
        raise ValueError(f"this needs all sequences in memory, and they are {source.kept}: pass X as one array")
    return source


def carried_forward(sequences: Sequences, first: np.ndarray) -> Sequences:
    """Sequences in which a missing value (NaN) is the last known one of its feature, and `first` (d,) before any."""
    values = sequences.values.numpy()
    before = np.concatenate([np.broadcast_to(first, (len(values), 1, len(first))), values], axis=1)
    known = np.where(np.isnan(before), 0, np.arange(before.shape[1])[:, None])
    filled = np.take_along_axis(before, np.maximum.accumulate(known, axis=1), axis=1)[:, 1:]
    return Sequences(torch.from_numpy(filled), sequences.lengths)


def unwrapped(X: Any) -> Any:
    """Sequences that are the objects of an array, or the parts of a data frame, as the list of these.

    Anything else is returned as it is.
    """
    X = in_sequences(X)
    if isinstance(X, np.ndarray) and X.dtype.hasobject and X.ndim == 1 and all(np.ndim(x) == 2 for x in X):
        return list(X)
    return X


def is_sequential(X: Any) -> bool:
    """Whether X is (n, T, d) or a list of (T_i, d), rather than 2-D (or an array that `as_sequences` refuses)."""
    if isinstance(X, Sequences):
        return True
    if isinstance(X, (list, tuple)):
        return len(X) > 0 and all(_rank(x) == 2 for x in X)
    return getattr(X, "ndim", 2) >= 3


def _rank(x: Any) -> int:
    """How many axes an entry of a list has; 0 where it is no array."""
    try:
        return np.ndim(x)
    except ValueError:  # ragged
        return 0


def _as_given(X: Sequences, lengths: Any, name: str, *, missing: bool) -> Sequences:
    if lengths is not None:
        raise ValueError(f"lengths is for an array, but {name} is Sequences, which know their lengths: leave it out")
    check_entries(X.values.numpy(), name, missing=missing)
    return X


def _from_list(X: Sequence[Any], columns: tuple[str, ...] | None, name: str, *, missing: bool) -> Sequences:
    columns = column_names(X[0]) if columns is None else columns
    arrays = [_in_order(x, columns, f"{name}[{i}]", missing=missing) for i, x in enumerate(X)]
    features = sorted({a.shape[1] for a in arrays})
    if len(features) > 1:
        turned = " They have as many rows each: pass [x.T for x in X] if a row is a feature."
        raise ValueError(
            f"all sequences in {name} must have the same number of features, got {features[:8]}."
            + (turned if len({a.shape[0] for a in arrays}) == 1 else "")
        )
    for i, a in enumerate(arrays):
        if a.shape[0] == 0:
            raise ValueError(f"{name}[{i}] has no steps (T = 0): drop it or give it at least one step")
    longest = max(a.shape[0] for a in arrays)
    _check_sizes((len(arrays), longest, arrays[0].shape[1]), name)
    check_memory(f"the longest sequence pads {name} to an array", 8 * len(arrays) * longest * arrays[0].shape[1])
    values = np.zeros((len(arrays), longest, arrays[0].shape[1]))
    for row, a in zip(values, arrays, strict=True):
        row[: len(a)] = a
    return Sequences(torch.from_numpy(values), torch.tensor([len(a) for a in arrays]))


def _in_order(x: Any, columns: tuple[str, ...] | None, name: str, *, missing: bool) -> np.ndarray:
    """One sequence; of a data frame with the columns in this order."""
    array, own = real_array(x, name, missing=missing), column_names(x)
    if own is None or columns is None or own == columns:
        return array
    if set(own) != set(columns):
        lacks, besides = (sorted(set(a) - set(b))[:5] or "none" for a, b in ((columns, own), (own, columns)))
        wanted = ", ".join(columns[:8])
        raise ValueError(f"{name} must have the columns {wanted}: it lacks {lacks}, and has {besides} besides")
    return array[:, [own.index(column) for column in columns]]


def _check_sizes(shape: tuple[int, ...], name: str) -> None:
    n, T, d = shape
    for count, what in ((n, "sequence"), (T, "step"), (d, "feature")):
        if count == 0:
            raise ValueError(f"{name} must hold at least one {what}, got shape {shape}")


def _lengths(lengths: Any, values: np.ndarray, name: str) -> Tensor:
    n, T, _ = values.shape
    if lengths is None:
        return torch.full((n,), T)
    array = plain_array(lengths, "lengths")
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise ValueError(f"lengths must be {n} integers, one a sequence of {name}, got {array.dtype} {array.shape}")
    if array.min() < 1 or array.max() > T:
        raise ValueError(f"lengths must lie between 1 and {T} (the steps of {name}), got {array.min()}..{array.max()}")
    return torch.from_numpy(array.astype(np.int64))
