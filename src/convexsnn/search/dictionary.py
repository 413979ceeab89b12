"""The dictionary of a search: columns that were given, and columns found, with their weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.dictionary import Dictionary, build_dictionary
from convexsnn.merged import MergedRows
from convexsnn.network import Hidden, Network
from convexsnn.prefixes import Prefixes
from convexsnn.ranks import Ranks
from convexsnn.reconstruction import cut_down
from convexsnn.search.branches.population import Population, join_populations
from convexsnn.search.branches.pricing import DualPricing, improving, unlike
from convexsnn.search.branches.runner import BranchRunner
from convexsnn.search.branches.simulator import columns
from convexsnn.search.patterns import Kept, kept, patterns_of, side_by_side, stored
from convexsnn.sequences import Sequences
from convexsnn.simulation import scores
from convexsnn.witnesses.mixture import mix

GIVEN = -1


@dataclass(frozen=True, eq=False)
class SearchDictionary:
    """P columns, of which the first are those of a network that the search was given.

    Attributes
    ----------
    given : Hidden
        That network; without branches when the search began from nothing.
    genomes : Population or None
        The branches found, float32.
    owner : int64 tensor of shape (P,)
        The branch that gives each column; `GIVEN` for those of `given`.
    place : int64 tensor of shape (P,)
        The place among the columns of its branch's last layer, where each neuron has one for each part of the readout;
        for `GIVEN` columns counted over all branches of `given`.
    origin : int64 tensor of shape (P,)
        Number of the oracle that found each; `GIVEN` likewise.
    idle : int64 tensor of shape (P,)
        Rounds for which each has had no weight.
    columns : Kept, of shape (rows, P)
    W : float64 tensor of shape (P, C)
    """

    given: Hidden
    genomes: Population | None
    owner: Tensor
    place: Tensor
    origin: Tensor
    idle: Tensor
    columns: Kept
    W: Tensor

    def __len__(self) -> int:
        return len(self.owner)

    @property
    def is_blank(self) -> bool:
        """Whether there is no column yet but one that always fires."""
        rows = self.columns.shape[0]
        return bool((self.columns.rmatmul(torch.ones(rows, 1, dtype=torch.float64)) == rows).all())

    @property
    def weighty(self) -> Tensor:
        """Which columns carry weight; bool tensor of shape (P,)."""
        return self.W.any(dim=1)

    @property
    def network(self) -> Population | None:
        """The branches found whose columns carry weight."""
        used = self.owner[self.weighty & (self.owner != GIVEN)].unique()
        return self.genomes.take(used) if self.genomes is not None and len(used) else None

    @property
    def as_given(self) -> SearchDictionary:
        """The same columns, of which all are those of a given network: such pools may have branches of any shapes."""
        if self.genomes is None:
            return self
        branches = tuple(self.genomes.branch(b, self.given.dtype) for b in range(len(self.genomes)))
        found = self.given.n_last + self.owner * self.genomes.n_last + self.place
        return replace(
            self,
            given=replace(self.given, branches=(*self.given.branches, *branches)),
            genomes=None,
            owner=torch.full_like(self.owner, GIVEN),
            place=torch.where(self.owner == GIVEN, self.place, found),
        )

    def take(self, mask: Tensor) -> SearchDictionary:
        """The columns of a bool mask, without the branches that no longer give any."""
        owner, genomes = self.owner[mask], self.genomes
        found = owner != GIVEN
        used, renumbered = owner[found].unique(return_inverse=True)
        owner = owner.clone()
        owner[found] = renumbered
        genomes = genomes.take(used) if genomes is not None and len(used) else None
        return SearchDictionary(
            self.given,
            genomes,
            owner,
            self.place[mask],
            self.origin[mask],
            self.idle[mask],
            self.columns.take(torch.nonzero(mask).flatten()),
            self.W[mask],
        )

    def solved(self, W: Tensor) -> SearchDictionary:
        """The same columns with other weights."""
        return replace(self, W=W, idle=torch.where(W.any(dim=1), 0, self.idle + 1))

    def to_network(self) -> Network:
        """The columns that carry weight, with their weights: branches cut down to the neurons that they need."""
        parts = [(self.given, GIVEN)]
        for b in self.owner[self.weighty & (self.owner != GIVEN)].unique().tolist():
            assert self.genomes is not None
            branch = self.genomes.branch(b, self.given.dtype)
            parts.append((replace(self.given, branches=(branch,)), b))
        branches, weights = [], [self.W[:0]]
        for hidden, owner in parts:
            part = self._cut(hidden, owner)
            branches += part.hidden.branches
            weights.append(part.W)
        return Network(replace(self.given, branches=tuple(branches)), torch.cat(weights))

    def outputs(self, sequences: Sequences, runner: BranchRunner) -> Tensor:
        """S = D W of other sequences, over which `runner` runs branches; float64 tensor of shape (rows, C)."""
        S = scores(self._cut(self.given, GIVEN), sequences)
        found = torch.nonzero(self.weighty & (self.owner != GIVEN)).flatten()
        if len(found):
            assert self.genomes is not None
            seen = runner.columns(self.genomes, self.owner[found], self.place[found])
            S = S + seen.T.to(torch.float64) @ self.W[found]
        return S

    def _cut(self, hidden: Hidden, owner: int) -> Network:
        """`hidden`, of this owner, cut down to what the columns that carry weight need; and these weights."""
        chosen = self.weighty & (self.owner == owner)
        W = self.W.new_zeros(hidden.n_last, self.W.shape[1])
        W[self.place[chosen]] = self.W[chosen]
        return cut_down(hidden, W)


def dictionary_of(given: Hidden, sequences: Sequences, rows: Tensor, n_outputs: int) -> SearchDictionary:
    """The columns of `given`, at the `rows` of the dictionary that stand for equal ones."""
    if given.branches:
        dictionary = build_dictionary(given, sequences)
        place, patterns = dictionary.neuron_of, _patterns(dictionary, rows)
    else:
        dtype = torch.bool if given.readout.bits else torch.float64
        place, patterns = torch.zeros(0, dtype=torch.int64), torch.zeros(0, len(rows), dtype=dtype)
    given_marks = torch.full((len(place),), GIVEN)
    return SearchDictionary(
        given,
        None,
        given_marks,
        place,
        given_marks,
        torch.zeros_like(given_marks),
        kept(patterns),
        torch.zeros(len(place), n_outputs, dtype=torch.float64),
    )


def admit(
    pool: SearchDictionary,
    population: Population,
    owner: Tensor,
    place: Tensor,
    origin: Tensor,
    prefixes: Prefixes,
    ranks: Ranks,
) -> SearchDictionary:
    """The pool with the columns named by `owner` and `place`, apart from those that it has already.

    The columns are those of the reference simulator, in the arithmetic of `prefixes`, that of the network to be. Each
    rank runs some of them.
    """
    dtype = prefixes.values[0].dtype
    found = kept(columns(population.map(lambda tensor: tensor.to(dtype)), owner, place, prefixes, ranks))
    index = _unknown(pool, found)
    if len(index) == 0:
        return pool
    used, branch = owner[index].unique(return_inverse=True)
    genomes, before = population.take(used), 0
    if pool.genomes is not None:
        before, genomes = len(pool.genomes), join_populations(pool.genomes, genomes)
    larger = replace(pool, genomes=genomes)
    return _extended(larger, branch + before, place[index], origin[index], found.take(index))


def admit_hidden(
    pool: SearchDictionary, hidden: Hidden, origin: int, sequences: Sequences, rows: MergedRows, pricing: DualPricing
) -> tuple[SearchDictionary, list[float]]:
    """The pool with the improving columns of other witnesses, which join `given`; and their scores, in its order."""
    dictionary = build_dictionary(hidden, sequences)
    patterns = _patterns(dictionary, rows.groups.first)
    worth = pricing.of_columns(patterns)
    order = improving(worth)
    order = order[unlike(patterns[order], len(order))]
    found = kept(patterns[order])
    index = _unknown(pool, found)
    if len(index) == 0:
        return pool, []
    larger = replace(pool, given=mix(pool.given, hidden) if pool.given.branches else hidden)
    place = pool.given.n_last + dictionary.neuron_of[order[index]]
    marks = torch.full((len(index),), GIVEN)
    larger = _extended(larger, marks, place, torch.full_like(marks, origin), found.take(index))
    return larger, worth[order[index]].tolist()


def united(pool: SearchDictionary, other: SearchDictionary) -> SearchDictionary:
    """The columns of both: those of `other` that `pool` has not follow, with weight zero.

    Branches found of another shape than those of `pool` become given ones.
    """
    new = torch.zeros(len(other), dtype=torch.bool)
    new[_unknown(pool, other.columns)] = True
    other = other.take(new)
    if pool.genomes is not None and other.genomes is not None and pool.genomes.shape != other.genomes.shape:
        other = other.as_given
    found, owner, place = other.owner != GIVEN, other.owner.clone(), other.place.clone()
    genomes = other.genomes if pool.genomes is None else pool.genomes
    if pool.genomes is not None and other.genomes is not None:
        owner[found] += len(pool.genomes)
        genomes = join_populations(pool.genomes, other.genomes)
    given = pool.given
    if not bool(found.all()):
        place[~found] += given.n_last
        given = mix(given, other.given) if given.branches else other.given
    larger = replace(pool, given=given, genomes=genomes)
    return _extended(larger, owner, place, other.origin, other.columns)


def _patterns(dictionary: Dictionary, rows: Tensor) -> Tensor:
    """The columns of a dictionary at some of its rows, as `kept` takes them."""
    columns = dictionary.columns
    assert isinstance(columns, Kept)
    return patterns_of(columns.rows(rows))


def _unknown(pool: SearchDictionary, columns: Kept) -> Tensor:
    """Which of new columns are not all zero, nor equal to one before them or in the pool."""
    known, new = {row.tobytes() for row in stored(pool.columns).numpy()}, []
    for i, row in enumerate(stored(columns).numpy()):
        if row.any() and row.tobytes() not in known:
            known.add(row.tobytes())
            new.append(i)
    return torch.tensor(new, dtype=torch.int64)


def _extended(pool: SearchDictionary, owner: Tensor, place: Tensor, origin: Tensor, columns: Kept) -> SearchDictionary:
    """The pool with more columns, of weight zero."""
    return replace(
        pool,
        owner=torch.cat([pool.owner, owner]),
        place=torch.cat([pool.place, place]),
        origin=torch.cat([pool.origin, origin]),
        idle=torch.cat([pool.idle, torch.zeros_like(owner)]),
        columns=side_by_side(pool.columns, columns),
        W=torch.cat([pool.W, pool.W.new_zeros(len(owner), pool.W.shape[1])]),
    )
