"""All patterns that a family realises on given sequences, each with its witness weights (theory.md section 3, 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.bounds.family import NetworkFamily
from convexsnn.bounds.patterns.cost import cost_of
from convexsnn.bounds.patterns.dynamics import Conditions
from convexsnn.bounds.patterns.enumerate import Patterns
from convexsnn.bounds.patterns.enumerations import Decisions, enumeration_of
from convexsnn.bounds.patterns.weights import margin_of
from convexsnn.bounds.patterns.witness import find_branch
from convexsnn.columns import BitColumns
from convexsnn.network import Branch, Hidden
from convexsnn.sequences import Sequences
from convexsnn.witnesses import with_constant

ASSUMPTIONS = (
    "the objective has the same rho for every network",
    "potentials of networks are computed in exact arithmetic, or so that rounding changes no spike and no bit read; "
    "columns of the network itself count as float64 gave them",
)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Every distinct, not all-zero column of a family on given sequences.

    Attributes
    ----------
    family : NetworkFamily
    sequences : Sequences
    columns : BitColumns of shape (rows, P)
    owner : int64 array of shape (P,)
        The unit (a position in `family.units`) whose weights give each column; -1 for the always-firing neuron.
    silent : bool
        Whether some weights fire on no row.
    """

    family: NetworkFamily
    sequences: Sequences
    columns: BitColumns
    owner: NDArray[np.int64]
    silent: bool
    _trees: tuple[Decisions, ...] = field(repr=False)
    _trains: tuple[NDArray[np.uint8], ...] = field(repr=False)

    @property
    def n_patterns(self) -> int:
        """Distinct patterns, the silent one among them."""
        return len(self.owner) + self.silent

    def margin(self, index: int) -> float | None:
        """The largest margin of a column, in units of the largest weight; 0 where it needs ties, None if none is."""
        unit, conditions = self._conditions(index)
        return margin_of(self._trees[unit].dynamics, conditions)

    def witnesses(self, index: Tensor) -> Hidden:
        """A network of one-neuron branches that gives the columns named by `index`, checked by simulating it.

        Raises
        ------
        RuntimeError
            When weights for a column cannot be found that give it in float64; see `realised`.
        """
        hidden, given = self.realised(index)
        wrong = len(given) - int(given.sum())
        if wrong:
            raise RuntimeError(
                f"{wrong} of {len(given)} patterns are not given by any weights tried in float64: their margins are "
                "within rounding (exact ties, or nearly equal inputs)"
            )
        return hidden

    def realised(self, index: Tensor) -> tuple[Hidden, Tensor]:
        """The network of `witnesses` as far as it can be had, and a bool tensor: which patterns float64 gives.

        Patterns for which no weights were found that give them in float64 have no branch.
        """
        branches, wanted = [], self.columns.take(index).dense().T > 0
        for j, column in zip(index.tolist(), wanted, strict=True):
            branches.append(self._branch(j, column))
        there = torch.tensor([branch is not None for branch in branches], dtype=torch.bool)
        shape = self.family
        found = tuple(branch for branch in branches if branch is not None)
        return Hidden(shape.n_features, found, shape.readout, shape.every_step), there

    def _branch(self, index: int, column: Tensor) -> Branch | None:
        if self.owner[index] < 0:
            empty = Hidden(self.family.n_features, (), self.family.readout, self.family.every_step)
            return with_constant(empty).branches[0]
        unit, conditions = self._conditions(index)
        return find_branch(self._trees[unit].dynamics, conditions, self.sequences, column)

    def _conditions(self, index: int) -> tuple[int, Conditions]:
        """The unit that gives a column, and what it decides on the way."""
        owner = int(self.owner[index])
        start = int((self.owner[:index] == owner).sum())
        return owner, self._trees[owner].along(self._trains[owner][start])


def enumerate_family(
    family: NetworkFamily,
    sequences: Sequences,
    *,
    limit: int = 20_000_000,
    on_visit: Callable[[int, float], object] = lambda done, total: None,  # noqa: ARG005
) -> Arrangement:
    """Enumerate all patterns of a family, none of which rounding hides: which there are is decided in integers.

    Parameters
    ----------
    family : NetworkFamily
        One hidden layer; neurons that do not feed one another.
    sequences : Sequences
    limit : int
        Refuse when more candidates would be visited.
    on_visit : callable (int, float), optional
        Told how many candidates have been visited, and about how many there are.

    Raises
    ------
    ValueError
        When the family is not of this kind, or has too many patterns: says how many.

    References
    ----------
    T. Cover 1965 (counts); arXiv 2303.03382, section 3 (arrangements of threshold networks); arXiv 2605.08022 (the
    recursion over time).
    """
    family.check_enumerable()
    ways = [enumeration_of(unit, family, sequences) for unit in family.units]
    cost = cost_of(ways, sequences.rows(family.every_step))
    if cost.candidates > limit:
        raise ValueError(
            f"sequences and family have {cost}; these are more than limit = {limit}: raise it, use fewer or shorter "
            "sequences, fewer features, or method 'pricing' or 'universal'"
        )
    every, done = [], 0
    for way in ways:
        every.append(way.patterns(lambda k, done=done: on_visit(done + k, cost.candidates)))
        done += round(way.visited)
    return _collect(family, sequences, [way.tree for way in ways], every)


def _collect(family: NetworkFamily, sequences: Sequences, trees: list[Decisions], every: list[Patterns]) -> Arrangement:
    """Distinct columns over all units, the first unit that has one its owner."""
    rows = sequences.rows(family.every_step)
    seen: set[bytes] = set()
    owners, packed, trains, silent = [], [], [], False
    if family.constant:
        ones = np.packbits(np.ones((1, rows), dtype=bool), axis=1)
        seen.add(ones.tobytes())
        owners.append([-1])
        packed.append(ones)
    for k, patterns in enumerate(every):
        loud = patterns.columns.any(axis=1)
        silent = silent or not bool(loud.all())
        new = np.array([key.tobytes() not in seen for key in patterns.columns], dtype=bool) & loud
        seen.update(key.tobytes() for key in patterns.columns[new])
        owners.append([k] * int(new.sum()))
        packed.append(patterns.columns[new])
        trains.append(patterns.trains[new])
    bits = np.concatenate(packed)
    # `BitColumns` has the least significant bit first.
    columns = BitColumns(torch.from_numpy(np.packbits(np.unpackbits(bits, axis=1), axis=1, bitorder="little")), rows)
    owner = np.concatenate([np.array(own, dtype=np.int64) for own in owners])
    return Arrangement(family, sequences, columns, owner, silent, tuple(trees), tuple(trains))
