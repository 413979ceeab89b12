"""One interface to run branches: compiled where that is known, else by the reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from convexsnn.prefixes import Prefixes
from convexsnn.search.branches import simulator
from convexsnn.search.branches.fused import running
from convexsnn.search.branches.fused.tiles import Tiles, cut
from convexsnn.search.branches.population import Population


@dataclass(frozen=True, eq=False)
class BranchRunner:
    """Runs branches over the rows of some sequences, as fast as can be.

    Compiled code takes sums in another order than the reference. So a spike whose potential is within rounding of its
    threshold may differ from the reference's, and so may what follows from it. That is good enough to find candidates.
    What enters a dictionary is run once more by the reference, `simulator.columns`.

    Attributes
    ----------
    prefixes : Prefixes
    """

    prefixes: Prefixes

    @cached_property
    def tiles(self) -> Tiles:
        """The prefixes as compiled code walks over them."""
        return cut(self.prefixes)

    def correlate(self, population: Population, U: Tensor) -> Tensor:
        """d^T U of every last-layer neuron, (B, m, C), from U of shape (rows, C)."""
        if running.knows(population):
            return running.correlations(population, self.tiles, self.prefixes, U)
        return simulator.correlate(population, self.prefixes, U)

    def columns(self, population: Population, owner: Tensor, neuron: Tensor) -> Tensor:
        """The columns of chosen last-layer neurons, bool of shape (P, rows): see `simulator.columns`."""
        if running.knows(population):
            return running.patterns(population, self.tiles, self.prefixes, owner, neuron)
        return simulator.columns(population, owner, neuron, self.prefixes)
