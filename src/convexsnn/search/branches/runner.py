"""One interface to run branches: on a GPU where there is to be one, else compiled, else by the reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
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
    The same holds on a GPU. What enters a dictionary is run once more by the reference on the CPU, `simulator.columns`.

    Attributes
    ----------
    prefixes : Prefixes
        On the CPU.
    device : torch.device
        Where branches are scored. Populations come from the CPU, and scores go back to it.
    """

    prefixes: Prefixes
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @cached_property
    def tiles(self) -> Tiles:
        """The prefixes as compiled code walks over them."""
        return cut(self.prefixes)

    @cached_property
    def _there(self) -> Prefixes:
        """The prefixes on the device."""
        return self.prefixes.to(self.device)

    def only(self, index: Tensor) -> BranchRunner:
        """Over the rows named by `index`."""
        return BranchRunner(self.prefixes.only(index), self.device)

    def correlate(self, population: Population, U: Tensor) -> Tensor:
        """d^T U of every last-layer neuron, (B, m, C), from U of shape (rows, C)."""
        if self.device.type != "cpu":
            there = population.map(lambda tensor: tensor.to(self.device))
            return simulator.correlate(there, self._there, U).to(population.device)
        if running.knows(population):
            return running.correlations(population, self.tiles, self.prefixes, U)
        return simulator.correlate(population, self.prefixes, U)

    def columns(self, population: Population, owner: Tensor, neuron: Tensor) -> Tensor:
        """The columns of chosen last-layer neurons, bool of shape (P, rows): see `simulator.columns`."""
        if running.knows(population):
            return running.patterns(population, self.tiles, self.prefixes, owner, neuron)
        return simulator.columns(population, owner, neuron, self.prefixes)
