"""The cells of one kind of neurons, with what a dual vector makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from convexsnn.bounds.cells.deciding import Weights
from convexsnn.bounds.cells.moving_regions import MovingCutting, MovingRegions
from convexsnn.bounds.cells.regions import Cutting, Regions
from convexsnn.bounds.cells.states import States
from convexsnn.bounds.cells.tree import DecisionTree
from convexsnn.bounds.family import NetworkFamily, Unit
from convexsnn.bounds.patterns.dynamics import Dynamics
from convexsnn.bounds.patterns.moving import MovingDynamics
from convexsnn.bounds.patterns.witness import branch_of, find_branch, rounding_of, run_in_floats
from convexsnn.bounds.pricing.protocol import Found
from convexsnn.network import Branch
from convexsnn.neurons import LIF
from convexsnn.penalties import Norm
from convexsnn.rationals import Floats
from convexsnn.sequences import Sequences

# A neuron that meets its threshold exactly is moved by this factor.
MOVED = 1.0 + 2.0**-10
# Leaks up to here are 0 plus x, and those above 1 minus x. No leak at which cells change is near such an odd number.
BETWEEN = 0.5 + 2.0**-12


class FamilyCells:
    """The decisions of a family's neurons on given sequences, from which one dual vector after another is priced.

    Attributes
    ----------
    family : NetworkFamily
    sequences : Sequences
    states : tuple of States
        What cells have reached so far: of each kind of neuron, and of each part of the range where leaks are free.
    largest : float
        The largest size of an input, and at least 1.

    Raises
    ------
    ValueError
        When neurons of the family are not single ones on the input.
    """

    def __init__(self, family: NetworkFamily, sequences: Sequences) -> None:
        family.check_priceable()
        self.family, self.sequences = family, sequences
        self.largest = max(1.0, float(sequences.values.abs().max()))
        self.states = tuple(States(tree) for unit in family.units for tree in _trees(unit, family, sequences))

    def priced(self, U: Floats, penalty: Norm) -> list[PricedCells[Any]]:
        """Each of the states, priced by a dual vector (rows, C) and the row norm of the penalty."""
        return [PricedCells(self, states.tree, _cutting_of(states), U, penalty) for states in self.states]


R = TypeVar("R", Regions, MovingRegions)


class _Cutting(Protocol[R]):
    """How regions are cut: `Cutting` or `MovingCutting`."""

    def start(self) -> R: ...
    def cut(self, regions: R) -> tuple[R, NDArray[np.int64]]: ...
    def neurons(self, regions: R) -> Floats: ...
    def leak_of(self, regions: R, k: int) -> float: ...


class PricedCells(Generic[R]):
    """Regions of a kind of neurons, and the norms of d^T U that their patterns d can have; see `Pricing`.

    Parameters
    ----------
    cells : FamilyCells
    tree : DecisionTree
        Of one of its states.
    cutting : callable (Weights)
        Cuts regions of these states.
    U : float64 array of shape (rows, C)
    penalty : Norm
        Whose row norm prices.
    """

    def __init__(
        self,
        cells: FamilyCells,
        tree: DecisionTree,
        cutting: Callable[[Weights], _Cutting[R]],
        U: Floats,
        penalty: Norm,
    ) -> None:
        self.tree = tree
        self._cells, self._U, self._penalty = cells, U, penalty
        gain = tree.gains(U)
        up, down = (tree.sums_below(np.maximum(sign * gain, 0.0)) for sign in (1.0, -1.0))
        self._cutting = cutting(Weights(gain, up, down, (up + down).sum(axis=1)))

    @property
    def rounding(self) -> float:
        """How far bounds can be off, as they are sums of U in float64."""
        terms = 4.0 * (self.tree.n_nodes + len(self._U) + 4)
        size = np.abs(self._U).sum(axis=0) * terms * float(np.finfo(np.float64).eps)
        return float(self._norms(size[None])[0])

    def start(self) -> R:
        """All parameters, and all leaks that are free."""
        return self._cutting.start()

    def cut(self, regions: R) -> R:
        """The parts of regions, all of which have something to decide."""
        return self._cutting.cut(regions)[0]

    def bounds(self, regions: R) -> Floats:
        """What no pattern of each region is worth more than: (B,)."""
        return self._norms(np.maximum(np.abs(regions.standing.low), np.abs(regions.standing.high)))

    def decided(self, regions: R, k: int, value: float) -> Found:
        """The pattern of a region in which all is decided, and which is worth so much."""
        train = regions.open.bits[k]
        column = np.unpackbits(train, count=self.tree.n_nodes).astype(bool)[self.tree.rows]
        return Found(value, column, train=train, leak=self._cutting.leak_of(regions, k))

    def branch(self, found: Found) -> Branch | None:
        """A branch of one neuron that gives a pattern in float64; None where none was found."""
        if found.p is not None:
            return branch_of(self.tree.dynamics, found.p[:, None])
        assert found.train is not None
        tree, column = self.tree.with_leak(found.leak), torch.from_numpy(found.column)
        return find_branch(tree.dynamics, tree.along(found.train), self._cells.sequences, column)

    def tried(self, regions: R) -> Iterator[Found]:
        """What neurons in the middles of regions give, run in float64.

        A neuron with a potential within rounding of its threshold is moved a little, or left out: its float64 spikes
        may be those of no neuron of the family in real arithmetic.
        """
        p = self._cutting.neurons(regions)
        p = p[:, np.isfinite(p).all(axis=0)]
        if p.shape[1] == 0:
            return
        together = self._run(p)
        runs = [(p, together)] if together is not None else [run for own in p.T for run in self._alone(own[:, None])]
        for own, features in runs:
            if features is not None:
                values = self._norms(np.abs(features.T.astype(np.float64) @ self._U))
                yield from map(Found, values.tolist(), features.T, own.T)

    def _alone(self, p: Floats) -> Iterator[tuple[Floats, NDArray[np.bool_] | None]]:
        """One neuron (r, 1) as it is, and where rounding could decide a spike, with all but its threshold enlarged."""
        features = self._run(p)
        yield p, features
        if features is None and self.tree.dynamics.theta is not None:
            moved, dynamics = MOVED * p, self.tree.dynamics
            same = [dynamics.theta, -1] if dynamics.moves else dynamics.theta  # the last is the leak
            moved[same] = p[same]
            yield moved, self._run(moved)

    def _run(self, p: Floats) -> NDArray[np.bool_] | None:
        """What is read of neurons (r, m) on all rows, bool (rows, m); None where rounding could decide a spike."""
        run = run_in_floats(self.tree.dynamics, p, self._cells.sequences)
        if run is None:
            return None
        branch, found = run
        neuron, steps = branch.last.neuron, self._cells.sequences.n_steps
        threshold = float(neuron.threshold.abs().max()) if isinstance(neuron, LIF) and p.size else 0.0
        certain = float(found.margin) > rounding_of(p, self._cells.largest, threshold, steps)
        return found.features.numpy() if certain else None

    def _norms(self, sizes: Floats) -> Floats:
        return self._penalty.row_norms(torch.from_numpy(sizes)).numpy()


def _trees(unit: Unit, family: NetworkFamily, sequences: Sequences) -> list[DecisionTree]:
    """The decisions of a unit: for free leaks those at 0 and at 1, if these are free, and of leaks near either."""
    if unit.leak_to is None:
        return [DecisionTree.of(unit, family, sequences)]
    still = DecisionTree.of(replace(unit, leak_to=None), family, sequences)
    dynamics: list[Dynamics | MovingDynamics] = []
    dynamics += [still.dynamics.with_leak(end) for end in (0.0, 1.0) if end in (unit.leak, unit.leak_to)]
    dynamics += [MovingDynamics.of(unit, still.dynamics, 0)] if unit.leak < BETWEEN else []
    dynamics += [MovingDynamics.of(unit, still.dynamics, 1)] if unit.leak_to > BETWEEN else []
    return [replace(still, dynamics=own) for own in dynamics]


def _cutting_of(states: States) -> Callable[[Weights], Any]:
    dynamics = states.tree.dynamics
    if isinstance(dynamics, MovingDynamics):
        return partial(MovingCutting, states, reach=_reach(dynamics))
    return partial(Cutting, states)


def _reach(dynamics: MovingDynamics) -> tuple[float, float]:
    """The least and the largest distance of the leaks from their base, without rounding."""
    low, high = dynamics.unit.leak, dynamics.unit.leak_to
    assert high is not None
    return (low, min(high, BETWEEN)) if dynamics.base == 0 else (1.0 - high, 1.0 - max(low, BETWEEN))
