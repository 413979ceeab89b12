"""Columns whose rows are spread over processes of torch.distributed, with the same products for every number of them.

All processes (ranks) run the same program on the same weights and dual vectors, and each holds the bits of its own rows
only. A product with all columns is made of `PARTS` parts of the rows, whatever the number of ranks, and these are
summed in their order. So solvers take the same steps, and certificates are the same, for every number of ranks on
machines with the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from convexsnn.columns import BitColumns, Slice

# Parts of the rows that are summed one after the other: the most ranks that there can be. 2, 3, 4, 6 and 12 ranks have
# equally many each.
PARTS = 12


class Ranks(Protocol):
    """The processes that hold the rows of one matrix, seen from one of them.

    Attributes
    ----------
    rank : int
        The number of this process, from 0.
    size : int
        How many there are.
    """

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    def add_up(self, tensor: Tensor) -> None:
        """Put the sum over all ranks in the place of `tensor`."""
        ...


@dataclass(frozen=True)
class Alone:
    """One process that holds all rows."""

    rank: int = 0
    size: int = 1

    def add_up(self, tensor: Tensor) -> None:
        """There is nothing to add."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a group of torch.distributed, such as those that torchrun starts; None is all of them."""

    group: dist.ProcessGroup | None = None

    @property
    def rank(self) -> int:
        """The number of this process in the group."""
        return dist.get_rank(self.group)

    @property
    def size(self) -> int:
        """How many processes the group has."""
        return dist.get_world_size(self.group)

    def add_up(self, tensor: Tensor) -> None:
        """See `Ranks`."""
        dist.all_reduce(tensor, group=self.group)


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


@dataclass(frozen=True)
class ShardedColumns:
    """0/1 columns of which each rank holds some rows. Every rank must ask for the same products in the same order.

    Weights (P, C), scores (n, C) and dual vectors (n, C) are whole on every rank. A solver that asks for the entries of
    some columns gets them all on every rank, at one bit an entry on the way.

    Attributes
    ----------
    own : BitColumns of shape (rows of this rank, P)
        The rows that `rows_of_rank` names.
    n : int
        Rows of all ranks.
    ranks : Ranks
    """

    own: BitColumns
    n: int
    ranks: Ranks = field(default_factory=Alone)

    def __post_init__(self) -> None:
        held, rank = rows_of_rank(self.n, self.ranks), self.ranks.rank
        if self.own.n != held.stop - held.start:
            raise ValueError(f"own must hold rows {held.start} to {held.stop} on rank {rank}, got {self.own.n} rows")

    @property
    def shape(self) -> tuple[int, int]:
        return self.n, self.own.shape[1]

    @property
    def device(self) -> torch.device:
        return self.own.device

    def take(self, index: Tensor) -> ShardedColumns:
        """The columns named by `index` (int64 tensor), in that order."""
        return ShardedColumns(self.own.take(index), self.n, self.ranks)

    def between(self, start: int, stop: int) -> BitColumns:
        """The rows from `start`, a multiple of 8, to before `stop`, at most n, of all ranks: a sum of (P, bytes)."""
        packed = self.own.packed.new_zeros(self.shape[1], -(-(stop - start) // 8))
        held = rows_of_rank(self.n, self.ranks)
        first, last = max(start, held.start), min(stop, held.stop)
        if first < last:
            mine = self.own.between(first - held.start, last - held.start).packed
            packed[:, (first - start) // 8 : (first - start) // 8 + mine.shape[1]] = mine
        self.ranks.add_up(packed)
        return BitColumns(packed, stop - start)

    def rows(self, index: Tensor) -> BitColumns:
        """The rows named by `index` (int64 tensor), in that order, on every rank."""
        return self.between(0, self.n).rows(index)

    def dense(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """All entries as an ``(n, P)`` tensor of `dtype`, on every rank."""
        return self.between(0, self.n).dense(dtype)

    @property
    def largest(self) -> float:
        """An upper bound of all absolute entries."""
        return 1.0

    def slices(self, bits: int) -> Iterator[Slice]:  # noqa: ARG002 - one bit an entry is short enough
        """The columns themselves."""
        yield Slice(1.0, self, 1, 0)  # type: ignore[arg-type] - rows of it are plain columns

    def matmul(self, W: Tensor) -> Tensor:
        """``D @ W`` for `W` of shape (P, C); shape (n, C), dtype of `W`. Ranks add up (n, C) numbers."""
        out = W.new_zeros(self.n, W.shape[1])
        for _, rows, part in self._own_parts():
            out[rows] = part.matmul(W)
        self.ranks.add_up(out)
        return out.add_(0.0)  # a sum over ranks has no -0.0, and neither has one rank alone

    def rmatmul(self, U: Tensor) -> Tensor:
        """``D.T @ U`` for `U` of shape (n, C); shape (P, C), dtype of `U`. Ranks add up (PARTS, P, C) numbers."""
        sums = U.new_zeros(PARTS, self.shape[1], U.shape[1])
        for number, rows, part in self._own_parts():
            sums[number] = part.rmatmul(U[rows])
        self.ranks.add_up(sums)
        total = U.new_zeros(self.shape[1], U.shape[1])
        for part in sums:
            total += part
        return total

    def squares(self, weights: Tensor) -> Tensor:
        """The squared norm of each column under row weights (n,): sum_i w_i d_ij^2, shape (P,)."""
        return self.rmatmul(weights.unsqueeze(1)).squeeze(1)

    def _own_parts(self) -> Iterator[tuple[int, slice, BitColumns]]:
        """The number of each part of this rank, its rows among all, and its columns."""
        bounds = list(pairwise(_bounds(self.n)))
        begun = rows_of_rank(self.n, self.ranks).start
        for number in _parts_of(self.ranks):
            start, stop = bounds[number]
            if start < stop:
                yield number, slice(start, stop), self.own.between(start - begun, stop - begun)
