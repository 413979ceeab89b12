"""All patterns that a family realises on given sequences, each with its witness weights (theory.md section 3, 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.bounds.cost import cost_of
from convexsnn.bounds.decisions import Decisions, check_apart, decisions_of, distinct_inputs
from convexsnn.bounds.enumerate import Patterns, arrange, enumerate_patterns
from convexsnn.bounds.family import Family
from convexsnn.bounds.realise import needed_decisions, realise
from convexsnn.columns import BitColumns
from convexsnn.network import Branch, Hidden
from convexsnn.sequences import Sequences
from convexsnn.simulation import simulate
from convexsnn.witnesses import with_constant

ASSUMPTIONS = (
    "the objective has the same rho for every network",
    "float64 arithmetic of potentials without rounding; hyperplanes that meet within 1e-14 are taken to meet exactly",
)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Every distinct, not all-zero column of a family on given sequences.

    Attributes
    ----------
    family : Family
    sequences : Sequences
    columns : BitColumns of shape (rows, P)
    owner : int64 array of shape (P,)
        The unit (a position in `family.units`) whose weights give each column; -1 for the always-firing neuron.
    silent : bool
        Whether some weights fire on no row.
    """

    family: Family
    sequences: Sequences
    columns: BitColumns
    owner: NDArray[np.int64]
    silent: bool
    _decisions: tuple[Decisions, ...] = field(repr=False)
    _trains: tuple[NDArray[np.uint8], ...] = field(repr=False)

    @property
    def n_patterns(self) -> int:
        """Distinct patterns, the silent one among them."""
        return len(self.owner) + self.silent

    def margin(self, index: int) -> float | None:
        """The largest margin of a column, in units of the largest weight; 0 where ties are needed, None if none is."""
        found = self._parameters(index)
        return None if found is None else found[1]

    def witnesses(self, index: Tensor) -> Hidden:
        """A network of one-neuron branches that gives the columns named by `index`, checked by simulating it.

        Raises
        ------
        RuntimeError
            When weights for a column cannot be found, or do not give it in float64; see `realised`.
        """
        hidden, given = self.realised(index)
        wrong = len(given) - int(given.sum())
        if wrong:
            raise RuntimeError(
                f"{wrong} of {len(given)} patterns are not given by their witnesses in float64: their margins are "
                "within rounding (exact ties, or nearly equal inputs)"
            )
        return hidden

    def realised(self, index: Tensor) -> tuple[Hidden, Tensor]:
        """The network of `witnesses` as far as it can be had, and a bool tensor: which patterns float64 gives.

        Patterns for which there are no weights, or whose weights give another pattern in float64, have no branch.
        """
        found = [self._branch(j) for j in index.tolist()]
        there = torch.tensor([branch is not None for branch in found], dtype=torch.bool)
        shape = self.family
        network = lambda branches: Hidden(shape.n_features, branches, shape.readout, shape.every_step)  # noqa: E731
        hidden = network(tuple(branch for branch in found if branch is not None))
        if hidden.branches:
            wanted = self.columns.take(index[there]).dense() > 0
            there[there.clone()] = (simulate(hidden, self.sequences).features == wanted).all(dim=0)
        return network(
            tuple(b for b, right in zip(found, there.tolist(), strict=True) if b is not None and right)
        ), there

    def _branch(self, index: int) -> Branch | None:
        if self.owner[index] < 0:
            empty = Hidden(self.family.n_features, (), self.family.readout, self.family.every_step)
            return with_constant(empty).branches[0]
        found = self._parameters(index)
        if found is None:
            return None  # hyperplanes that meet within the tolerance of the enumeration
        unit = self.family.units[self.owner[index]]
        return unit.branch(torch.from_numpy(found[0]), self.family.n_features, torch.float64)

    def _parameters(self, index: int) -> tuple[NDArray[np.float64], float] | None:
        owner = int(self.owner[index])
        start = int((self.owner[:index] == owner).sum())
        decisions = self._decisions[owner]
        return realise(decisions, self._trains[owner][start], needed_decisions(decisions))


def enumerate_family(
    family: Family,
    sequences: Sequences,
    *,
    limit: int = 20_000_000,
    on_visit: Callable[[int, float], object] = lambda done, total: None,  # noqa: ARG005
) -> Arrangement:
    """Enumerate all patterns of a family.

    Parameters
    ----------
    family : Family
        One hidden layer; neurons that do not feed one another.
    sequences : Sequences
    limit : int
        Refuse when more candidates would be visited.
    on_visit : callable (int, float), optional
        Told how many candidates have been visited, and about how many there are.

    Raises
    ------
    ValueError
        When the family is not of this kind, has too many patterns (says how many), or the sequences are so nearly in a
        special position that float64 cannot tell which patterns there are (`NearlySpecialError`).

    References
    ----------
    T. Cover 1965 (counts); arXiv 2303.03382, section 3 (arrangements of threshold networks); arXiv 2605.08022 (the
    recursion over time).
    """
    family.check_enumerable()
    for unit in family.units:
        check_apart(distinct_inputs(unit, family, sequences))
    decisions = [decisions_of(unit, family, sequences) for unit in family.units]
    arranged = [arrange(own) for own in decisions]
    cost = cost_of(decisions, arranged, sequences.rows(family.every_step))
    if cost.candidates > limit:
        raise ValueError(
            f"sequences and family have {cost}; these are more than limit = {limit}: raise it, use fewer or shorter "
            "sequences, fewer features, or method 'milp' or 'universal'"
        )
    every, done = [], 0
    for own, planes in zip(decisions, arranged, strict=True):
        patterns = enumerate_patterns(own, planes, lambda k, done=done: on_visit(done + k, cost.candidates))
        every.append(patterns)
        done += round(planes.candidates)
    return _collect(family, sequences, decisions, every)


def _collect(family: Family, sequences: Sequences, decisions: list[Decisions], every: list[Patterns]) -> Arrangement:
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
    return Arrangement(family, sequences, columns, owner, silent, tuple(decisions), tuple(trains))
