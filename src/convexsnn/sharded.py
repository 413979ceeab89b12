"""Sequences and columns whose rows are spread over processes, with the same results for every number of them.

All processes (ranks) run the same program on the same weights and dual vectors. Each simulates the sequences of its own
rows, and holds the columns' entries in these rows only. A product with all columns is made of `PARTS` parts of the
rows, whatever the number of ranks, and these are summed as a binary tree. So solvers take the same steps, and
certificates are the same, for every number of ranks on machines with the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.columns import BitColumns, Columns, OfPart, RealColumns, Slice
from convexsnn.errorfree import limbs
from convexsnn.ranks import Alone, Ranks, gathered, put_together
from convexsnn.sequences import Sequences, SequenceSource

# Parts of the rows, of which each rank has whole ones: the most ranks that there can be. Where rows are few, more parts
# would cost more than they bring.
FEW_PARTS, PARTS, MANY_ROWS = 12, 96, 2**18


def row_parts(n: int) -> int:
    """How many parts `n` rows are cut into: 2, 3, 4, 6 and 12 ranks have equally many each."""
    return PARTS if n >= MANY_ROWS else FEW_PARTS


def rows_of_rank(n: int, ranks: Ranks) -> slice:
    """The rows, of `n` in all, that this rank holds."""
    bounds, own = _bounds(n), _owned(n, ranks)[ranks.rank]
    return slice(bounds[own.start], bounds[own.stop])


def _bounds(n: int) -> list[int]:
    """Where the parts begin and end: multiples of 8, so that no two ranks share a byte."""
    octets, parts = -(-n // 8), row_parts(n)
    return [min(n, 8 * (octets * part // parts)) for part in range(parts + 1)]


def _owned(n: int, ranks: Ranks) -> list[range]:
    """The parts of each rank."""
    parts, size = row_parts(n), ranks.size
    if size > parts:
        raise ValueError(
            f"rows are spread over at most {FEW_PARTS} ranks, and from {MANY_ROWS} rows on over {PARTS}: "
            f"got {size} ranks for {n} rows"
        )
    return [range(parts * rank // size, parts * (rank + 1) // size) for rank in range(size)]


def _halves(node: range) -> tuple[range, range]:
    """The two nodes below one of the tree of sums; a node is a range of parts."""
    middle = (node.start + node.stop) // 2
    return range(node.start, middle), range(middle, node.stop)


def _whole_nodes(node: range, owned: list[range]) -> list[range]:
    """The largest nodes of the tree below one, each of which lies within the parts of one rank."""
    if any(own.start <= node.start and node.stop <= own.stop for own in owned):
        return [node]
    return [whole for half in _halves(node) for whole in _whole_nodes(half, owned)]


def _summed(node: range, known: Callable[[range], Tensor | None]) -> Tensor:
    """The sum of a node of the tree: what is known of it, or the sum of its halves."""
    found = known(node)
    if found is not None:
        return found
    first, second = _halves(node)
    return _summed(first, known) + _summed(second, known)


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
        if self.ranks.size == 1:
            return self.own.between(start, stop)
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
        for rows, part in self._own_parts():
            out[rows] = part.matmul(W)
        self.ranks.add_up(out)
        return out.add_(0.0)  # a sum over ranks has no -0.0, and neither has one rank alone

    def rmatmul(self, U: Tensor) -> Tensor:
        """``D.T @ U`` for `U` of shape (n, C); shape (P, C), dtype of `U`. See `over_rows`."""
        return self.over_rows(lambda part, rows: part.rmatmul(U[rows]), U.new_zeros(self.shape[1], U.shape[1]))

    def squares(self, weights: Tensor) -> Tensor:
        """The squared norm of each column under row weights (n,): sum_i w_i d_ij^2, shape (P,)."""
        return self.over_rows(lambda part, rows: part.squares(weights[rows]), weights.new_zeros(self.shape[1]))

    def over_rows(self, of_part: OfPart, zero: Tensor) -> Tensor:
        """The sum of what `of_part` makes of each of `row_parts` parts of the rows, of the shape and type of `zero`.

        Parts are summed as a binary tree. Each rank sums the nodes that lie within its own parts, and ranks add up one
        tensor a node: as many as there are ranks, or a few times as many where their number is no power of 2.
        """
        owned = _owned(self.n, self.ranks)
        nodes = _whole_nodes(range(row_parts(self.n)), owned)
        own, bounds = owned[self.ranks.rank], _bounds(self.n)
        begun, sums = bounds[own.start], zero.new_zeros(len(nodes), *zero.shape)

        def of_own(node: range) -> Tensor | None:
            if len(node) > 1:
                return None
            start, stop = bounds[node.start], bounds[node.stop]
            if start == stop:
                return torch.zeros_like(zero)
            return of_part(self.own.between(start - begun, stop - begun), slice(start, stop))

        for place, node in enumerate(nodes):
            if own.start <= node.start and node.stop <= own.stop:
                sums[place] = _summed(node, of_own)
        self.ranks.add_up(sums)
        every = dict(zip(nodes, sums, strict=True))
        return _summed(range(row_parts(self.n)), every.get).add(0.0)  # ranks add 0.0, so one alone has no -0.0 either

    def each_row(self, of_part: OfPart) -> Tensor:
        """What `of_part` makes of blocks of rows, one below the other; each rank does those of its own rows."""
        held = rows_of_rank(self.n, self.ranks)
        parts = [part.each_row(_further(of_part, rows.start)) for rows, part in self._own_parts()]
        own = torch.cat(parts) if parts else self.own.each_row(_further(of_part, held.start))
        return put_together(own, held, self.n, self.ranks)

    def _own_parts(self) -> Iterator[tuple[slice, Columns]]:
        """The rows of each part of this rank among all, and its columns."""
        bounds, own = _bounds(self.n), _owned(self.n, self.ranks)[self.ranks.rank]
        for start, stop in pairwise(bounds[own.start : own.stop + 1]):
            if start < stop:
                yield slice(start, stop), self.own.between(start - bounds[own.start], stop - bounds[own.start])


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
