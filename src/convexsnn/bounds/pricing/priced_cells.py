"""The cells of one kind of neurons, with what a dual vector makes of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from convexsnn.bounds.cells.deciding import Weights
from convexsnn.bounds.cells.regions import Cutting, Regions
from convexsnn.bounds.cells.states import States
from convexsnn.bounds.cells.tree import DecisionTree
from convexsnn.bounds.family import NetworkFamily
from convexsnn.bounds.patterns.witness import run_in_floats
from convexsnn.neurons import LIF
from convexsnn.penalties import Norm
from convexsnn.rationals import Floats
from convexsnn.sequences import Sequences

# A neuron that meets its threshold exactly is moved by this factor.
MOVED = 1.0 + 2.0**-10


class FamilyCells:
    """The decisions of a family's neurons on given sequences, from which one dual vector after another is priced.

    Attributes
    ----------
    family : NetworkFamily
    sequences : Sequences
    states : tuple of States
        Of each kind of neuron: what cells have reached so far.
    largest : float
        The largest size of an input, and at least 1.

    Raises
    ------
    ValueError
        When neurons of the family are not single ones on the input.
    """

    def __init__(self, family: NetworkFamily, sequences: Sequences) -> None:
        family.check_enumerable()
        self.family, self.sequences = family, sequences
        self.largest = max(1.0, float(sequences.values.abs().max()))
        self.states = tuple(States(DecisionTree.of(unit, family, sequences)) for unit in family.units)


class PricedCells:
    """Regions of a kind of neurons, and the norms of d^T U that their patterns d can have.

    Parameters
    ----------
    cells : FamilyCells
    unit : int
        Which kind of neurons of the family.
    U : float64 array of shape (rows, C)
    penalty : Norm
        Whose row norm prices.
    """

    def __init__(self, cells: FamilyCells, unit: int, U: Floats, penalty: Norm) -> None:
        states = cells.states[unit]
        self.tree = states.tree
        self._cells, self._U, self._penalty = cells, U, penalty
        gain = self.tree.gains(U)
        up, down = (self.tree.sums_below(np.maximum(sign * gain, 0.0)) for sign in (1.0, -1.0))
        self._cutting = Cutting(states, Weights(gain, up, down, (up + down).sum(axis=1)))

    @property
    def rounding(self) -> float:
        """How far bounds can be off, as they are sums of U in float64."""
        terms = 4.0 * (self.tree.n_nodes + len(self._U) + 4)
        size = np.abs(self._U).sum(axis=0) * terms * float(np.finfo(np.float64).eps)
        return float(self._norms(size[None])[0])

    def start(self) -> Regions:
        """All parameters."""
        return self._cutting.start()

    def cut(self, regions: Regions) -> Regions:
        """The parts of regions, all of which have something to decide."""
        return self._cutting.cut(regions)[0]

    def bounds(self, regions: Regions) -> Floats:
        """What no pattern of each region is worth more than: (B,)."""
        return self._norms(np.maximum(np.abs(regions.standing.low), np.abs(regions.standing.high)))

    def column(self, train: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """The column of packed decisions."""
        return np.unpackbits(train, count=self.tree.n_nodes).astype(bool)[self.tree.rows]

    def middles(self, regions: Regions) -> Iterator[tuple[float, NDArray[np.bool_], Floats]]:
        """The value, column and parameters of a neuron in the middle of each region, run in float64.

        A neuron with a potential within rounding of its threshold is moved a little, or left out: its float64 spikes
        may be those of no neuron of the family in real arithmetic.
        """
        p = self._cutting.states.parameters(regions.middles())
        p = p[:, np.isfinite(p).all(axis=0)]
        if p.shape[1] == 0:
            return
        together = self._run(p)
        runs = [(p, together)] if together is not None else [run for own in p.T for run in self._alone(own[:, None])]
        for own, features in runs:
            if features is not None:
                values = self._norms(np.abs(features.T.astype(np.float64) @ self._U))
                yield from zip(values.tolist(), features.T, own.T, strict=True)

    def _alone(self, p: Floats) -> Iterator[tuple[Floats, NDArray[np.bool_] | None]]:
        """One neuron (r, 1) as it is, and where rounding could decide a spike, with all but its threshold enlarged."""
        features = self._run(p)
        yield p, features
        if features is None and self.tree.dynamics.theta is not None:
            moved = MOVED * p
            moved[self.tree.dynamics.theta] = p[self.tree.dynamics.theta]
            yield moved, self._run(moved)

    def _run(self, p: Floats) -> NDArray[np.bool_] | None:
        """What is read of neurons (r, m) on all rows, bool (rows, m); None where rounding could decide a spike."""
        run = run_in_floats(self.tree.dynamics, p, self._cells.sequences)
        if run is None:
            return None
        branch, found = run
        neuron, steps = branch.last.neuron, self._cells.sequences.n_steps
        threshold = float(neuron.threshold.abs().max()) if isinstance(neuron, LIF) and p.size else 0.0
        # No potential, nor any sum on its way, is larger than `size`.
        size = steps * (float(np.abs(p).sum(axis=0).max(initial=0.0)) * self._cells.largest + threshold)
        terms = 4.0 * steps * (len(p) + 8)
        certain = float(found.margin) > size * terms * float(np.finfo(np.float64).eps)
        return found.features.numpy() if certain else None

    def _norms(self, sizes: Floats) -> Floats:
        return self._penalty.row_norms(torch.from_numpy(sizes)).numpy()
