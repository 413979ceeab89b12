"""What branch and bound asks of the patterns that it prices: regions of them, in batches, that can be cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.family import NetworkFamily
from convexsnn.network import Branch
from convexsnn.penalties import Norm
from convexsnn.rationals import Floats


@dataclass(frozen=True, eq=False)
class Found:
    """A pattern that neurons of the unit give.

    Attributes
    ----------
    value : float
        The norm of d^T U.
    column : bool array of shape (rows,)
    p : float64 array of shape (r,), or None
        Parameters of a neuron that gave it in float64.
    train : uint8 array, or None
        Its decisions (`DecisionTree.along`), where it was found as a cell.
    leak : float
        Of the cell.
    members : tuple of int
        Of two layers: the numbers of what the last neuron makes of spikes, and of the trains of the neurons below.
    """

    value: float
    column: NDArray[np.bool_]
    p: Floats | None = None
    train: NDArray[np.uint8] | None = None
    leak: float = 0.0
    members: tuple[int, ...] = ()


class Batch(Protocol):
    """A batch of B regions."""

    def __len__(self) -> int:
        """B."""
        ...

    @property
    def choice(self) -> NDArray[np.int64]:
        """What to decide next in each, at least 0; -1 where all is decided: (B,)."""
        ...

    @property
    def certain(self) -> NDArray[np.bool_]:
        """Whether each part of the region is that of neurons: (B,)."""
        ...

    @property
    def cuttable(self) -> NDArray[np.bool_]:
        """Whether each can be cut: (B,)."""
        ...

    def take(self, index: NDArray[np.int64]) -> Self:
        """Some of them."""
        ...

    @classmethod
    def joined(cls, many: list[Self]) -> Self:
        """All of them as one batch."""
        ...


B = TypeVar("B", bound=Batch)


class Pricing(Protocol[B]):
    """The patterns of one kind of neurons, and what a dual vector makes of them."""

    @property
    def rounding(self) -> float:
        """How far bounds can be off, as they are sums of U in float64."""
        ...

    def start(self) -> B:
        """Regions that have all patterns."""
        ...

    def cut(self, regions: B) -> B:
        """The parts of regions, all of which have something to decide."""
        ...

    def bounds(self, regions: B) -> Floats:
        """What no pattern of each region is worth more than: (B,)."""
        ...

    def decided(self, regions: B, k: int, value: float) -> Found:
        """The pattern of a region in which all is decided, and which is worth so much."""
        ...

    def tried(self, regions: B) -> Iterator[Found]:
        """Patterns of neurons of the regions."""
        ...

    def branch(self, found: Found) -> Branch | None:
        """A branch of one last-layer neuron that gives a pattern in float64; None where none was found."""
        ...


class PriceableCells(Protocol):
    """All neurons of a family on given sequences."""

    @property
    def family(self) -> NetworkFamily:
        """The family."""
        ...

    def priced(self, U: Floats, penalty: Norm) -> Sequence[Pricing[Any]]:
        """Each kind of neurons, priced by a dual vector (rows, C) and the row norm of the penalty."""
        ...
