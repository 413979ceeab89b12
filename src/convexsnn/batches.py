"""Sequences that are read batch by batch, again for every pass, because all of them do not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from convexsnn.arrays import plain_array, unpadded
from convexsnn.caller import isolated
from convexsnn.checks import check_choice
from convexsnn.data_files import read_arrays
from convexsnn.sequences import Sequences, SequenceSource, as_sequences

FIELDS = ("X", "y", "weight", "lengths")
CHANGES = "the source gives other {what} than before: use shuffle=False, and a generator that begins anew in each pass"


class GivenBatch(NamedTuple):
    """One batch: its sequences, and labels and weights as they were given, or None."""

    sequences: Sequences
    y: Any
    weight: Any


@dataclass(frozen=True, eq=False)
class Batches(SequenceSource):
    """n sequences of which one batch is in memory at a time, with what came beside them.

    `as_batches` makes them. Estimators take them in place of X, and everything else that takes a `SequenceSource`.

    Attributes
    ----------
    read : callable
        Gives an iterator over the batches, which begins anew at every call.
    first : Sequences
        The first batch, padded to T steps.
    all_lengths : int64 tensor
        Steps of each sequence that the batches hold.
    lengths : int64 tensor of shape (n,)
        Steps of each of these sequences.
    y : array of shape (n, ...), list of n arrays, or None
        The labels or targets of all batches.
    weight : float64 array of shape (n,), or None
        The weights of all sequences.
    index : int64 tensor of shape (n,), optional
        Which sequences of the batches these are, in ascending order. None is all.
    columns_in : Path, optional
        The folder in which the columns of a dictionary are kept, in a file without a name. None keeps them in memory.
    """

    kept: ClassVar[str] = "read in batches"

    read: Callable[[], Iterable[Any]]
    first: Sequences
    all_lengths: Tensor
    lengths: Tensor
    y: Any = None
    weight: np.ndarray | None = None
    index: Tensor | None = None
    columns_in: Path | None = None

    @property
    def n_steps(self) -> int:
        """T, the length of the longest sequence that the batches hold."""
        return self.first.n_steps

    @property
    def n_features(self) -> int:
        """d, the number of input features."""
        return self.first.n_features

    @property
    def sample(self) -> Sequences:
        """The first batch."""
        return self.first

    def take(self, index: Tensor | slice) -> Batches:
        """The sequences named by `index`, which ascends; ValueError where it does not."""
        chosen = (torch.arange(len(self.all_lengths)) if self.index is None else self.index)[index]
        if not bool((chosen.diff() > 0).all()):
            raise ValueError("index must ascend where sequences are read in batches")
        return replace(self, index=chosen, lengths=self.all_lengths[chosen])

    def chunks(self, size: int) -> Iterator[Sequences]:
        """See `SequenceSource`. Chunks do not depend on the sizes of the batches.

        Raises
        ------
        ValueError
            When this pass gives other lengths or labels than the first, or other numbers of sequences.
        """
        values, lengths, filled = self._empty(size), [], 0
        for part in self._pass():
            begun = 0
            while begun < len(part):
                taken = part.take(slice(begun, begun + size - filled))
                values[filled : filled + len(taken), : taken.n_steps] = taken.values
                lengths.append(taken.lengths)
                begun, filled = begun + len(taken), filled + len(taken)
                if filled == size:
                    yield Sequences(values, torch.cat(lengths))
                    values, lengths, filled = self._empty(size), [], 0
        if filled:
            yield Sequences(values[:filled], torch.cat(lengths))

    def _empty(self, size: int) -> Tensor:
        return torch.zeros(size, self.n_steps, self.n_features, dtype=torch.float64)

    def _pass(self) -> Iterator[Sequences]:
        """The chosen sequences of each batch."""
        begun, all_lengths = 0, self.all_lengths
        for part in map(read_batch, self.read()):
            own = slice(begun, begun + len(part.sequences))
            if not torch.equal(part.sequences.lengths, all_lengths[own]):
                raise ValueError(CHANGES.format(what="sequences"))
            if part.y is not None and not _same(part.y, self.y[own], part.sequences.lengths):
                raise ValueError(CHANGES.format(what="labels"))
            begun = own.stop
            if self.index is None:
                yield part.sequences
                continue
            inside = self.index[(self.index >= own.start) & (self.index < own.stop)]
            yield part.sequences.take(inside - own.start)
        if begun != len(all_lengths):
            raise ValueError(CHANGES.format(what=f"sequences, {begun} instead of {len(all_lengths)},"))


@isolated
def as_batches(source: Any, *, columns_in: str | Path | None = None) -> Batches:
    """Sequences that are read batch by batch; this reads all of them once.

    Parameters
    ----------
    source : iterable, callable, or path
        What gives the batches, again in each pass: a DataLoader that does not shuffle, a list, or a function that
        returns a generator. A path names a folder of .npz files, each a batch, in the order of their names. A batch is
        X, (X, y) or (X, y, weight) in a tuple, a mapping with the names X, y, weight and lengths, or the path of a file
        of such arrays. X is as `as_sequences` takes it: (n, T, d), or a list of (T_i, d).
    columns_in : path, optional
        A folder for the columns of dictionaries, one bit an entry, where they do not fit in memory. They are in a file
        without a name, so nothing is left of them when the process ends, however it ends.

    Returns
    -------
    Batches

    Raises
    ------
    ValueError
        When the source can be read only once, holds nothing, or its batches are not alike or not as described.
    """
    read = _reader(source)
    lengths, labels, weights, first, steps = [], [], [], None, 0
    for part in map(read_batch, read()):
        first = first or part.sequences
        if part.sequences.n_features != first.n_features:
            raise ValueError(f"source has batches of {first.n_features} and of {part.sequences.n_features} features")
        steps = max(steps, part.sequences.n_steps)
        lengths.append(part.sequences.lengths)
        labels.append(part.y)
        weights.append(part.weight)
    if first is None:
        raise ValueError("source holds no batch")
    all_lengths, folder = torch.cat(lengths), None if columns_in is None else Path(columns_in)
    if folder is not None and not folder.is_dir():
        raise ValueError(f"columns_in={str(columns_in)!r} is no folder: make it first")
    return Batches(
        read,
        _padded(first, steps),
        all_lengths,
        all_lengths,
        _joined(_all_or_none(labels, "y"), lengths),
        _joined(_all_or_none(weights, "weight"), lengths),
        columns_in=folder,
    )


def read_batch(given: Any) -> GivenBatch:
    """One batch in any of the forms that `as_batches` takes; ValueError where it is in none."""
    if isinstance(given, (str, Path)):
        given = read_arrays(Path(given))
    if isinstance(given, Mapping):
        fields = {check_choice("the names of a batch", name, FIELDS): values for name, values in given.items()}
    else:
        several = isinstance(given, (tuple, list))
        if several and not 1 <= len(given) <= 3:
            raise ValueError(f"source must give batches (X, y) or (X, y, weight), got {len(given)} entries")
        fields = dict(zip(FIELDS, given if several else [given], strict=False))
    if "X" not in fields:
        raise ValueError("a batch must hold X")
    sequences = as_sequences(fields["X"], lengths=fields.get("lengths"))
    y, weight = fields.get("y"), fields.get("weight")
    for name, values in (("y", y), ("weight", weight)):
        if values is not None and len(values) != len(sequences):
            raise ValueError(f"a batch of {len(sequences)} sequences has {name} of {len(values)}")
    y = y if y is None or isinstance(y, list) else plain_array(y, "y")
    return GivenBatch(sequences, y, None if weight is None else plain_array(weight, "weight"))


def _reader(source: Any) -> Callable[[], Any]:
    """A function that begins to read anew."""
    if isinstance(source, (str, Path)):
        files = sorted(Path(source).glob("*.npz"))
        if not files:
            raise ValueError(f"source={str(source)!r} must be a folder of .npz files, and there are none in it")
        return lambda: files
    if callable(source):
        return source
    if not isinstance(source, Iterable):
        raise ValueError(f"source must give batches, such as a DataLoader or a list; got {type(source).__name__}")
    if iter(source) is source:
        raise ValueError(
            "source can be read only once, and is needed several times: pass the function that makes the generator"
        )
    return lambda: source


def _padded(sequences: Sequences, steps: int) -> Sequences:
    n, T, d = sequences.values.shape
    return Sequences(
        torch.cat([sequences.values, torch.zeros(n, steps - T, d, dtype=torch.float64)], 1), sequences.lengths
    )


def _all_or_none(parts: list[Any], name: str) -> list[Any] | None:
    """What all batches have beside their sequences; None where none has."""
    have = sum(part is not None for part in parts)
    if 0 < have < len(parts):
        raise ValueError(f"source must give {name} with every batch or with none, got it with {have} of {len(parts)}")
    return parts if have else None


def _joined(parts: list[Any] | None, lengths: Sequence[Tensor]) -> Any:
    """Arrays one after the other; where their shapes differ, a list of what each sequence has, without padding."""
    if parts is None:
        return None
    alike = all(isinstance(part, np.ndarray) for part in parts) and len({part.shape[1:] for part in parts}) == 1
    if alike:
        return np.concatenate(parts)
    return [row for part, steps in zip(parts, lengths, strict=True) for row in unpadded(part, steps)]


def _same(given: Any, known: Any, lengths: Tensor) -> bool:
    """Whether labels of a batch are those of the first pass."""
    if isinstance(known, np.ndarray):
        return np.array_equal(given, known)
    return all(np.array_equal(a, b) for a, b in zip(unpadded(given, lengths), known, strict=True))
