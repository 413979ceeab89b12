"""One interface to run branches: by compiled code of the CPU or the GPU, and by the reference where that is none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from convexsnn.prefixes import Prefixes
from convexsnn.ranks import Alone, Ranks, made_in_shares
from convexsnn.readouts import Readout
from convexsnn.search.branches import simulator
from convexsnn.search.branches.fused import running
from convexsnn.search.branches.fused.tiles import Tiles, cut
from convexsnn.search.branches.on_gpu.finding import walking_for
from convexsnn.search.branches.on_gpu.stretches import Stretch, stretches_of
from convexsnn.search.branches.population import Population
from convexsnn.search.branches.reading import at_last_step, columns_over_time, counted, where_seen


@dataclass(frozen=True, eq=False)
class BranchRunner:
    """Runs branches over the rows of some sequences, as fast as can be.

    Compiled code takes sums in another order than the reference. So a spike whose potential is within rounding of its
    threshold may differ from the reference's, and so may what follows from it. That is good enough to find candidates.
    The same holds on a GPU, of the kernel and of the reference alike. What enters a dictionary is run once more by the
    reference on the CPU, `simulator.columns`.

    Attributes
    ----------
    prefixes : Prefixes
        On the CPU.
    readout : Readout
        How branches are read: what `Population.readout` says.
    dtype : torch.dtype
        Arithmetic of readouts over time: that of the network to be.
    device : torch.device
        Where branches are run. Scores go back to where the population is, and columns to the CPU.
    ranks : Ranks
        Processes each of which runs a share of the branches, over all rows.
    """

    prefixes: Prefixes
    readout: Readout
    dtype: torch.dtype = torch.float64
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    ranks: Ranks = field(default_factory=Alone)

    @cached_property
    def tiles(self) -> Tiles:
        """The prefixes as compiled code walks over them."""
        return cut(where_seen(self.prefixes, self.readout))

    @cached_property
    def _stretches(self) -> tuple[Stretch, ...]:
        """The prefixes as the kernel walks over them, on the device."""
        stretches = stretches_of(where_seen(self.prefixes, self.readout))
        return tuple(stretch.to(self.device) for stretch in stretches)

    @cached_property
    def _there(self) -> Prefixes:
        """The prefixes on the device."""
        return self.prefixes.to(self.device)

    def only(self, index: Tensor) -> BranchRunner:
        """Over the rows named by `index`."""
        return replace(self, prefixes=self.prefixes.only(index))

    def over(self, prefixes: Prefixes) -> BranchRunner:
        """Over other sequences, whose prefixes are on the CPU."""
        return replace(self, prefixes=prefixes)

    def counted(self, U: Tensor) -> list[Tensor]:
        """What one spike after each prefix counts in d^T U, for U of shape (rows, C): see `reading.counted`."""
        return [count.to(self.device) for count in counted(self.prefixes, self.readout, U)]

    def correlate(self, population: Population, counts: list[Tensor]) -> Tensor:
        """d^T U of every column of the last layers, (B, m * parts, C), from what `counted` gives for U."""
        return made_in_shares(
            len(population), lambda share: self._correlate(population.take(share), counts), self.ranks
        )

    def _correlate(self, population: Population, counts: list[Tensor]) -> Tensor:
        there, walking = population.to(self.device), walking_for(population, self.device)
        if walking is not None:
            sums = walking.walked_sums(there, self._stretches, torch.cat(counts))
        elif running.knows(there):
            sums = running.correlations(there, self.tiles, torch.cat(counts))
        else:
            return simulator.correlate(there, self._there, counts).to(population.device)
        return simulator.by_column(sums, population).to(population.device)

    def columns(self, population: Population, owner: Tensor, column: Tensor) -> Tensor:
        """Chosen columns of the last layers, (P, rows): see `simulator.columns`."""
        return made_in_shares(
            len(owner), lambda share: self._columns(population, owner[share], column[share]), self.ranks
        )

    def _columns(self, population: Population, owner: Tensor, column: Tensor) -> Tensor:
        walking, last, parts = walking_for(population, self.device), at_last_step(self.readout), self.readout.parts
        nodes = self.prefixes.node_of_row if last else torch.arange(self.prefixes.n_nodes)
        if walking is not None:
            there = population.to(self.device)
            spikes = walking.walked_patterns(there, self._stretches, owner, column // parts)[:, nodes]
        elif running.knows(population):
            spikes = running.patterns(population, self.tiles, nodes, owner, column // parts)
        else:
            return simulator.columns(population, owner, column, self.prefixes)
        return spikes if last else columns_over_time(self.readout, spikes, column % parts, self.prefixes, self.dtype)
