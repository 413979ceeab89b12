"""The processes that work on one problem together, as one of them sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor


class Ranks(Protocol):
    """Processes that run the same program, each on its own share of the work.

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
    """One process that does all the work."""

    rank: int = 0
    size: int = 1

    def add_up(self, tensor: Tensor) -> None:
        """There is nothing to add."""


class LostRankError(RuntimeError):
    """Another process, whose share of the work is needed, is not there any more."""


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
        """See `Ranks`; LostRankError where a process has ended."""
        try:
            dist.all_reduce(tensor, group=self.group)
        except RuntimeError as error:
            raise LostRankError("another process has ended or cannot be reached, so this one ends too") from error


def check_alike(content: bytes, what: str, ranks: Ranks) -> None:
    """Raise ValueError where `what`, which has this content here, has another on another rank."""
    digest = bytearray(hashlib.sha256(content).digest())
    every = gathered(torch.frombuffer(digest, dtype=torch.uint8), ranks)
    others = [rank for rank, own in enumerate(every) if not torch.equal(own, every[0])]
    if others:
        raise ValueError(f"{what} must be the same in every process, but differs in {others} from that in 0")


def wait(ranks: Ranks) -> None:
    """Go on when all ranks have come here; LostRankError where one has ended."""
    ranks.add_up(torch.zeros(1))


def put_together(own: Tensor, place: slice, count: int, ranks: Ranks) -> Tensor:
    """A tensor of `count` rows, of which every rank has those of its own `place`; all get the whole."""
    every = own.new_zeros(count, *own.shape[1:])
    every[place] = own
    ranks.add_up(every)
    return every


def gathered(tensor: Tensor, ranks: Ranks) -> Tensor:
    """The tensors of all ranks, which are of one shape, one after the other: shape (size, ...)."""
    return put_together(tensor.unsqueeze(0), slice(ranks.rank, ranks.rank + 1), ranks.size, ranks)


def share_of(count: int, ranks: Ranks, unit: int = 1) -> slice:
    """Of `count` pieces of work, those of this rank, where `unit` pieces are not to be parted."""
    units = -(-count // unit)
    first, last = (min(count, unit * (units * rank // ranks.size)) for rank in (ranks.rank, ranks.rank + 1))
    return slice(first, last)


def made_in_shares(count: int, of_share: Callable[[slice], Tensor], ranks: Ranks, unit: int = 1) -> Tensor:
    """A tensor of `count` rows that depend on nothing else, from a function that makes those of a slice.

    Each rank makes a share of them, in which `unit` rows stay together, and all get the whole.
    """
    if ranks.size == 1:
        return of_share(slice(0, count))
    share = share_of(count, ranks, unit)
    own = of_share(share)
    if own.dtype == torch.bool:  # which nothing adds up
        return put_together(own.to(torch.uint8), share, count, ranks) > 0
    return put_together(own, share, count, ranks)


def dealt(costs: Sequence[float], ranks: Ranks) -> list[int]:
    """The pieces of work, numbered in the order of their costs, that this rank does: the largest are dealt first."""
    load, own = [0.0] * ranks.size, []
    for piece in sorted(range(len(costs)), key=lambda i: -costs[i]):
        least = load.index(min(load))
        load[least] += costs[piece]
        if least == ranks.rank:
            own.append(piece)
    return sorted(own)
