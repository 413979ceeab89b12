"""Two layers, the first of few neurons, with what a dual vector makes of their patterns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from convexsnn.bounds.family import NetworkFamily
from convexsnn.bounds.layers.listing import Functions, Numbers, Rows, Trains, Words
from convexsnn.bounds.layers.realising import Realising
from convexsnn.bounds.layers.tuples import Read, Tuples, bounded, split
from convexsnn.bounds.pricing.protocol import Found
from convexsnn.network import Branch
from convexsnn.penalties import Norm
from convexsnn.rationals import Floats
from convexsnn.sequences import Sequences


class LayeredCells:
    """The patterns of a family of two layers on given sequences, from which one dual vector after another is priced.

    Attributes
    ----------
    family : NetworkFamily
    rows : Rows
    words : Words
    trains : Trains
        Spike trains of single neurons of the first layer.
    functions : tuple of Functions
        What each kind of last-layer neurons makes of words of spikes.
    realising : Realising

    Raises
    ------
    ValueError
        When there are too many of either to list.
    """

    def __init__(self, family: NetworkFamily, sequences: Sequences) -> None:
        family.check_priceable()
        assert family.below is not None
        self.family, sequences = family, sequences.to(torch.device("cpu"), torch.float64)
        self.rows = Rows.of(sequences, every_step=family.every_step)
        self.words = Words(self.rows.lengths, family.below.width)
        self.functions = tuple(Functions.of(unit, family.readout, self.words) for unit in family.units)
        self.trains = Trains.of(family.below.unit, self.rows)
        self.realising = Realising(family, self.rows, self.trains)

    def priced(self, U: Floats, penalty: Norm) -> list[PricedLayers]:
        """Each kind of last-layer neurons, priced by a dual vector (rows, C) and the row norm of the penalty."""
        return [PricedLayers(self, functions, U, penalty) for functions in self.functions]


class PricedLayers:
    """Regions of two layers, and the norms of d^T U that their patterns d can have; see `Pricing`.

    Rows of equal spike words have equal bits. So a region is worth at most the decided words, the better sign of the
    others, and the better sign of the rows whose words are open.

    Parameters
    ----------
    cells : LayeredCells
    functions : Functions
        Of one kind of last-layer neurons.
    U : float64 array of shape (rows, C)
    penalty : Norm
        Whose row norm prices.
    """

    def __init__(self, cells: LayeredCells, functions: Functions, U: Floats, penalty: Norm) -> None:
        self._cells, self._functions, self._U, self._penalty = cells, functions, U, penalty
        lengths = cells.rows.lengths
        gain = np.zeros((len(lengths), U.shape[1]))
        np.add.at(gain, cells.rows.of_row, U)
        self._read = Read(cells.words.starts(lengths), lengths, gain)

    @property
    def rounding(self) -> float:
        """How far bounds can be off, as they are sums of U in float64."""
        terms = 4.0 * (len(self._U) + 2.0 * len(self._read.gain) + 4)
        size = np.abs(self._U).sum(axis=0) * terms * float(np.finfo(np.float64).eps)
        return float(self._norms(size[None])[0])

    def start(self) -> Tuples:
        """All first layers and all functions of their spikes."""
        return self._bounded(np.zeros((1, self._cells.words.width + 1), dtype=np.int64))

    def cut(self, regions: Tuples) -> Tuples:
        """The parts of regions, all of which have something to decide."""
        return self._bounded(self._split(regions)[0])

    def bounds(self, regions: Tuples) -> Floats:
        """What no pattern of each region is worth more than: (B,)."""
        return self._norms(np.maximum(np.abs(regions.low), np.abs(regions.high)))

    def decided(self, regions: Tuples, k: int, value: float) -> Found:
        """The pattern of a region in which all is decided, and which is worth so much."""
        function, *trains = regions.clusters[k].tolist()
        below = self._cells.trains.clusters.member[trains].tolist()
        members = (int(self._functions.clusters.member[function]), *below)
        return Found(value, self._column(members), members=members)

    def tried(self, regions: Tuples) -> Iterator[Found]:
        """Patterns found by going from each region to its best part, and on from there until all is decided."""
        while len(regions):
            bounds, done = self.bounds(regions), regions.choice < 0
            yield from (self.decided(regions, k, float(bounds[k])) for k in np.flatnonzero(done).tolist())
            regions = regions.take(np.flatnonzero(~done))
            if len(regions):
                clusters, origin = self._split(regions)
                parts = self._bounded(clusters)
                order = np.lexsort((-self.bounds(parts), origin))
                regions = parts.take(order[np.unique(origin[order], return_index=True)[1]])

    def branch(self, found: Found) -> Branch | None:
        """Two layers that give a pattern in float64; None where none were found."""
        return self._cells.realising.branch(self._functions, found.members, found.column)

    def _column(self, members: tuple[int, ...]) -> NDArray[np.bool_]:
        bits, rows = self._cells.trains.bits, self._cells.rows
        word = np.zeros(len(rows.steps), dtype=np.int64)
        for train in members[1:]:
            for step in rows.steps.T:
                word = np.where(step >= 0, 2 * word + bits[train, step], word)
        return self._functions.bits[members[0], self._read.first + word].astype(bool)[rows.of_row]

    def _bounded(self, clusters: Numbers) -> Tuples:
        return bounded(clusters, self._functions.clusters, self._cells.trains.clusters, self._read)

    def _split(self, regions: Tuples) -> tuple[Numbers, Numbers]:
        return split(regions, self._functions.clusters, self._cells.trains.clusters)

    def _norms(self, sizes: Floats) -> Floats:
        return self._penalty.row_norms(torch.from_numpy(sizes)).numpy()
