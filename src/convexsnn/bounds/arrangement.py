"""All patterns that a family realises on given sequences, each with its witness weights (theory.md section 3, 3)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.bounds.decisions import Decisions, decisions_of
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
    "float64 arithmetic; hyperplanes that meet within 1e-9 are taken to meet exactly",
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
            When weights for a column cannot be found, or do not give it in float64.
        """
        chosen = index.tolist()
        branches = tuple(self._branch(j) for j in chosen)
        shape = self.family
        hidden = Hidden(shape.n_features, branches, shape.readout, shape.every_step)
        if chosen:
            wanted = self.columns.take(index).dense() > 0
            wrong = (simulate(hidden, self.sequences).features != wanted).any(dim=0)
            if bool(wrong.any()):
                raise RuntimeError(
                    f"{int(wrong.sum())} of {len(chosen)} patterns are not given by their witnesses in float64: their "
                    "margins are within rounding (exact ties, or nearly equal inputs)"
                )
        return hidden

    def _branch(self, index: int) -> Branch:
        if self.owner[index] < 0:
            empty = Hidden(self.family.n_features, (), self.family.readout, self.family.every_step)
            return with_constant(empty).branches[0]
        found = self._parameters(index)
        if found is None:
            raise RuntimeError(f"no weights give pattern {index}: hyperplanes meet within the tolerance of enumeration")
        unit = self.family.units[self.owner[index]]
        return unit.branch(torch.from_numpy(found[0]), self.family.n_features, torch.float64)

    def _parameters(self, index: int) -> tuple[NDArray[np.float64], float] | None:
        owner = int(self.owner[index])
        start = int((self.owner[:index] == owner).sum())
        decisions = self._decisions[owner]
        return realise(decisions, self._trains[owner][start], needed_decisions(decisions))


def enumerate_family(family: Family, sequences: Sequences, *, limit: int = 20_000_000) -> Arrangement:
    """Enumerate all patterns of a family.

    Parameters
    ----------
    family : Family
        One hidden layer; neurons that do not feed one another.
    sequences : Sequences
    limit : int
        Refuse when more candidates would be visited.

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
    decisions = [decisions_of(unit, family, sequences) for unit in family.units]
    arranged = [arrange(own) for own in decisions]
    candidates = sum(own.candidates for own in arranged)
    if candidates > limit:
        sizes = ", ".join(f"{len(own.normals)} hyperplanes of rank {own.normals.shape[1]}" for own in arranged)
        seconds = candidates * sum(len(own.normals) for own in arranged) * 2e-9
        raise ValueError(
            f"sequences and family have about {candidates:.1e} patterns to visit ({sizes}), more than limit = {limit}; "
            f"this would take about {max(seconds, candidates * 1e-6):.0f} s: use fewer or shorter sequences, fewer "
            "features, or method 'milp' or 'universal'"
        )
    every = [enumerate_patterns(own, planes) for own, planes in zip(decisions, arranged, strict=True)]
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
