"""Two ways to enumerate the patterns of one kind of neurons: by cells, and by the lines in which hyperplanes meet."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.cells.enumeration import CellEnumeration
from convexsnn.bounds.cells.tree import DecisionTree
from convexsnn.bounds.family import NetworkFamily, Unit
from convexsnn.bounds.patterns.dynamics import Conditions, Dynamics, positions
from convexsnn.bounds.patterns.enumerate import Arranged, Patterns, arrange, enumerate_patterns
from convexsnn.bounds.patterns.trees import Trees, grow_trees
from convexsnn.sequences import Sequences

# Neurons of more parameters have cells of many rays, which lines are quicker to find than to cut.
MOST_PARAMETERS = 5
# Fitted on one core of a 2026 laptop-class machine; good to a factor of three.
SECONDS_A_CELL, SECONDS_A_LINE, SECONDS_A_DECISION = 5e-5, 5e-7, 2.5e-8
# A sign that float64 cannot tell.
SECONDS_A_DOUBT = 1e-6


class Decisions(Protocol):
    """What neurons of one kind decide."""

    @property
    def dynamics(self) -> Dynamics:
        """The steps of a neuron as forms of its parameters."""
        ...

    def along(self, train: NDArray[np.uint8]) -> Conditions:
        """What a neuron meets that decides so."""
        ...


class Enumeration(Protocol):
    """All patterns of one kind of neurons, which are found when they are asked for."""

    @property
    def tree(self) -> Decisions:
        """Says what the trains of patterns are."""
        ...

    @property
    def visited(self) -> float:
        """About how many candidates are visited."""
        ...

    @property
    def columns(self) -> float:
        """About how many columns there are at most."""
        ...

    @property
    def seconds(self) -> float:
        """About how long it takes."""
        ...

    def patterns(self, on_visit: Callable[[int], object]) -> Patterns:
        """Find them; `on_visit` is told how many candidates have been visited."""
        ...


class ByCells:
    """The cells of parameters in which a neuron decides alike; see `CellEnumeration`."""

    def __init__(self, tree: DecisionTree[Dynamics]) -> None:
        self.tree = tree
        self._cells = CellEnumeration(tree)

    @property
    def visited(self) -> float:
        """See `Enumeration`."""
        return self._expected

    @cached_property
    def _expected(self) -> float:
        return self._cells.expected()

    @property
    def columns(self) -> float:
        """See `Enumeration`."""
        return self.visited

    @property
    def seconds(self) -> float:
        """See `Enumeration`."""
        return SECONDS_A_CELL * self.visited

    def patterns(self, on_visit: Callable[[int], object]) -> Patterns:
        """See `Enumeration`."""
        return self._cells.patterns(on_visit)


class ByLines:
    """The lines in which hyperplanes meet; see `sign_vectors`."""

    def __init__(self, tree: Trees) -> None:
        self.tree = tree

    @cached_property
    def _arranged(self) -> Arranged:
        return arrange(self.tree)

    @property
    def visited(self) -> float:
        """See `Enumeration`."""
        return self._arranged.candidates

    @property
    def columns(self) -> float:
        """See `Enumeration`."""
        return self.visited / 2.0 ** max(0, self._arranged.rank - 1)

    @property
    def seconds(self) -> float:
        """See `Enumeration`."""
        walked = self.tree.n_sequences * len(self.tree.levels)
        doubt = self._arranged.doubtful * SECONDS_A_DOUBT
        return self.visited * (SECONDS_A_LINE + SECONDS_A_DECISION * walked) + doubt

    def patterns(self, on_visit: Callable[[int], object]) -> Patterns:
        """See `Enumeration`."""
        return enumerate_patterns(self.tree, self._arranged, on_visit)


def enumeration_of(unit: Unit, family: NetworkFamily, sequences: Sequences) -> Enumeration:
    """The cheaper way for a kind of neurons; ValueError where their leaks are free."""
    if unit.leak_to is not None:
        raise ValueError("patterns of neurons of free leaks are not listed: they need method 'pricing'")
    if family.n_features + len(positions(unit, family)) <= MOST_PARAMETERS:
        return ByCells(DecisionTree.of(unit, family, sequences))
    return ByLines(grow_trees(unit, family, sequences))
