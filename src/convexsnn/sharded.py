"""Sequences and columns whose rows are spread over processes, with the same results for every number of them.

All processes (ranks) run the same program on the same weights and dual vectors. Each simulates the sequences of its own
rows, and holds the columns' entries in these rows only. A product with all columns is made of `PARTS` parts of the
rows, whatever the number of ranks, and these are summed in their order. So solvers take the same steps, and
certificates are the same, for every number of ranks on machines with the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.columns import BitColumns, Columns, OfPart, RealColumns, Slice
from convexsnn.errorfree import limbs
from convexsnn.ranks import Alone, Ranks, gathered, put_together
from convexsnn.sequences import Sequences, SequenceSource

# Parts of the rows that are summed one after the other: the most ranks that there can be. 2, 3, 4, 6 and 12 ranks have
# equally many each.
PARTS = 12


def rows_of_rank(n: int, ranks: Ranks) -> slice:
    """The rows, of `n` in all, that this rank holds."""
    bounds, own = _bounds(n), _parts_of(ranks)
    return slice(bounds[own.start], bounds[own.stop])


def _bounds(n: int) -> list[int]:
    """Where the parts begin and end: multiples of 8, so that no two ranks share a byte."""
    octets = -(-n // 8)
    return [min(n, 8 * (octets * part // PARTS)) for part in range(PARTS + 1)]


def _parts_of(ranks: Ranks) -> range:
    if ranks.size > PARTS:
        raise ValueError(f"rows are spread over at most {PARTS} ranks, got {ranks.size}")
    return range(PARTS * ranks.rank // ranks.size, PARTS * (ranks.rank + 1) // ranks.size)


@dataclass(frozen=True, eq=False)
class ShardedSequences(SequenceSource):
    """Sequences that every rank can read, of which each simulates those of its own rows.

    Attributes
    ----------
    whole : SequenceSource
        All of them.
    ranks : Ranks
    """

    kept: ClassVar[str] = "spread over processes"

    whole: SequenceSource
    ranks: Ranks

    @property
    def lengths(self) -> Tensor:  # type: ignore[override] - those of the whole
        """Steps of each sequence: int64 tensor of shape (n,)."""
        return self.whole.lengths

    @property
    def n_steps(self) -> int:
        """T, the length of the longest sequence."""
        return self.whole.n_steps

    @property
    def n_features(self) -> int:
        """d, the number of input features."""
        return self.whole.n_features

    @property
    def sample(self) -> Sequences:
        """A sample of rows, the same on every rank."""
        return self.whole.sample

    def chunks(self, size: int) -> Iterator[Sequences]:
        """All sequences, on every rank; see `SequenceSource`."""
        return self.whole.chunks(size)

    def take(self, index: Tensor | slice) -> ShardedSequences:
        """The sequences named by `index`, of which each rank simulates other ones than before."""
        return ShardedSequences(self.whole.take(index), self.ranks)

    def held(self, every_step: bool) -> slice:
        """The rows that this rank simulates."""
        return rows_of_rank(self.rows(every_step), self.ranks)

    def joined(self, own: Tensor, every_step: bool) -> Tensor:
        """What all ranks computed of their rows, (rows, ...) on every rank, from the same of the own rows."""
        return put_together(own, self.held(every_step), self.rows(every_step), self.ranks)


def whole(sequences: SequenceSource) -> SequenceSource:
    """All sequences, also of those that are spread over ranks."""
    return sequences.whole if isinstance(sequences, ShardedSequences) else sequences


@dataclass(frozen=True)
class ShardedColumns:
    """Columns of which each rank holds some rows. Every rank must ask for the same products in the same order.

    Weights (P, C), scores (n, C) and dual vectors (n, C) are whole on every rank. A solver that asks for the entries of
    some columns gets them all on every rank, 0/1 entries at one bit each on the way.

    Attributes
    ----------
    own : BitColumns or RealColumns of shape (rows of this rank, P)
        The rows that `rows_of_rank` names.
    n : int
        Rows of all ranks.
    ranks : Ranks
    """

    own: Columns
    n: int
    ranks: Ranks = field(default_factory=Alone)

    def __post_init__(self) -> None:
        held, rank, found = rows_of_rank(self.n, self.ranks), self.ranks.rank, self.own.shape[0]
        if found != held.stop - held.start:
            raise ValueError(f"own must hold rows {held.start} to {held.stop} on rank {rank}, got {found} rows")
        _stored(self.own)

    @property
    def shape(self) -> tuple[int, int]:
        return self.n, self.own.shape[1]

    @property
    def device(self) -> torch.device:
        return self.own.device

    @property
    def binary(self) -> bool:
        """Whether all entries are 0 or 1."""
        return self.own.binary

    def take(self, index: Tensor) -> ShardedColumns:
        """The columns named by `index` (int64 tensor), in that order."""
        return replace(self, own=self.own.take(index))

    def floats(self, dtype: torch.dtype) -> ShardedColumns:
        """The same columns, of which each rank keeps its own rows as numbers of `dtype`."""
        return replace(self, own=RealColumns(self.own.dense(dtype).T.contiguous()))

    def between(self, start: int, stop: int) -> Columns:
        """The rows from `start`, a multiple of 8, to before `stop`, at most n, of all ranks."""
        per_unit = 8 if self.binary else 1  # rows in a byte, or in a number
        values = _stored(self.own).new_zeros(self.shape[1], -(-(stop - start) // per_unit))
        held = rows_of_rank(self.n, self.ranks)
        first, last = max(start, held.start), min(stop, held.stop)
        if first < last:
            mine = _stored(self.own.between(first - held.start, last - held.start))
            begun = (first - start) // per_unit
            values[:, begun : begun + mine.shape[1]] = mine
        self.ranks.add_up(values)
        return BitColumns(values, stop - start) if self.binary else RealColumns(values)

    def rows(self, index: Tensor) -> Columns:
        """The rows named by `index` (int64 tensor), in that order, on every rank."""
        return self.between(0, self.n).rows(index)

    def dense(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """All entries as an ``(n, P)`` tensor of `dtype`, on every rank."""
        return self.between(0, self.n).dense(dtype)

    @property
    def largest(self) -> float:
        """An upper bound of all absolute entries."""
        if self.binary:
            return 1.0
        return float(gathered(torch.tensor(self.own.largest, dtype=torch.float64), self.ranks).max())

    def slices(self, bits: int) -> Iterator[Slice]:
        """The columns themselves where one bit an entry is short enough; else parts of `bits` bits, see `limbs`."""
        if self.binary:
            yield Slice(1.0, self, 1, 0)
            return
        values = _stored(self.own)
        parts, place = limbs(values, self.largest, bits), 0
        while True:
            part = next(parts, None)
            # Entries of other ranks may have more bits than the own ones.
            if not bool(gathered(torch.tensor(part is not None, dtype=torch.uint8), self.ranks).any()):
                return
            limb = torch.zeros_like(values) if part is None else part[0]
            yield Slice(1.0, replace(self, own=RealColumns(limb)), bits, place)
            place += bits

    def matmul(self, W: Tensor) -> Tensor:
        """``D @ W`` for `W` of shape (P, C); shape (n, C), dtype of `W`. Ranks add up (n, C) numbers."""
        out = W.new_zeros(self.n, W.shape[1])
        for _, rows, part in self._own_parts():
            out[rows] = part.matmul(W)
        self.ranks.add_up(out)
        return out.add_(0.0)  # a sum over ranks has no -0.0, and neither has one rank alone

    def rmatmul(self, U: Tensor) -> Tensor:
        """``D.T @ U`` for `U` of shape (n, C); shape (P, C), dtype of `U`. Ranks add up (PARTS, P, C) numbers."""
        return self.over_rows(lambda part, rows: part.rmatmul(U[rows]), U.new_zeros(self.shape[1], U.shape[1]))

    def squares(self, weights: Tensor) -> Tensor:
        """The squared norm of each column under row weights (n,): sum_i w_i d_ij^2, shape (P,)."""
        return self.over_rows(lambda part, rows: part.squares(weights[rows]), weights.new_zeros(self.shape[1]))

    def over_rows(self, of_part: OfPart, zero: Tensor) -> Tensor:
        """The sum, over `PARTS` parts of the rows, of what `of_part` makes of each, of the shape and type of `zero`.

        Each rank computes that of its own parts. Ranks add up PARTS tensors of that shape.
        """
        sums = zero.new_zeros(PARTS, *zero.shape)
        for number, rows, part in self._own_parts():
            sums[number] = of_part(part, rows)
        self.ranks.add_up(sums)
        total = torch.zeros_like(zero)
        for part in sums:
            total += part
        return total

    def each_row(self, of_part: OfPart) -> Tensor:
        """What `of_part` makes of blocks of rows, one below the other; each rank does those of its own rows."""
        held = rows_of_rank(self.n, self.ranks)
        parts = [part.each_row(_further(of_part, rows.start)) for _, rows, part in self._own_parts()]
        own = torch.cat(parts) if parts else self.own.each_row(_further(of_part, held.start))
        return put_together(own, held, self.n, self.ranks)

    def _own_parts(self) -> Iterator[tuple[int, slice, Columns]]:
        """The number of each part of this rank, its rows among all, and its columns."""
        bounds = list(pairwise(_bounds(self.n)))
        begun = rows_of_rank(self.n, self.ranks).start
        for number in _parts_of(self.ranks):
            start, stop = bounds[number]
            if start < stop:
                yield number, slice(start, stop), self.own.between(start - begun, stop - begun)


def _further(of_part: OfPart, begun: int) -> OfPart:
    """The same function for columns whose first row is another than it looks."""
    return lambda part, rows: of_part(part, slice(rows.start + begun, rows.stop + begun))


def _stored(columns: Columns) -> Tensor:
    """Bits or numbers as they lie in memory, a row a column; ValueError for columns that cannot be spread."""
    match columns:
        case BitColumns():
            return columns.packed
        case RealColumns():
            return columns.values
        case _:
            raise ValueError(f"own must be BitColumns or RealColumns, got {type(columns).__name__}")
