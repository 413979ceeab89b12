"""The dictionary of a search: columns that were given, and columns found, with their weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.columns import BitColumns, pack_bits
from convexsnn.dictionary import build_dictionary
from convexsnn.merged import MergedRows
from convexsnn.network import Hidden, Network
from convexsnn.prefixes import Prefixes
from convexsnn.reconstruction import keep_neurons
from convexsnn.search.branches.population import Population, join_populations
from convexsnn.search.branches.pricing import DualPricing, improving, unlike
from convexsnn.search.branches.runner import BranchRunner
from convexsnn.search.branches.simulator import columns
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
    neuron : int64 tensor of shape (P,)
        The neuron in its branch's last layer; for `GIVEN` columns counted over all branches of `given`.
    origin : int64 tensor of shape (P,)
        Number of the oracle that found each; `GIVEN` likewise.
    idle : int64 tensor of shape (P,)
        Rounds for which each has had no weight.
    columns : BitColumns of shape (rows, P)
    W : float64 tensor of shape (P, C)
    """

    given: Hidden
    genomes: Population | None
    owner: Tensor
    neuron: Tensor
    origin: Tensor
    idle: Tensor
    columns: BitColumns
    W: Tensor

    def __len__(self) -> int:
        return len(self.owner)

    @property
    def is_blank(self) -> bool:
        """Whether there is no column yet but one that always fires."""
        return bool((self.columns.rmatmul(torch.ones(self.columns.n, 1, dtype=torch.float64)) == self.columns.n).all())

    @property
    def weighty(self) -> Tensor:
        """Which columns carry weight; bool tensor of shape (P,)."""
        return self.W.any(dim=1)

    @property
    def network(self) -> Population | None:
        """The branches found whose columns carry weight."""
        used = self.owner[self.weighty & (self.owner != GIVEN)].unique()
        return self.genomes.take(used) if self.genomes is not None and len(used) else None

    def take(self, kept: Tensor) -> SearchDictionary:
        """The columns of a bool mask, without the branches that no longer give any."""
        owner, genomes = self.owner[kept], self.genomes
        found = owner != GIVEN
        used, place = owner[found].unique(return_inverse=True)
        owner = owner.clone()
        owner[found] = place
        genomes = genomes.take(used) if genomes is not None and len(used) else None
        return SearchDictionary(
            self.given,
            genomes,
            owner,
            self.neuron[kept],
            self.origin[kept],
            self.idle[kept],
            self.columns.take(torch.nonzero(kept).flatten()),
            self.W[kept],
        )

    def solved(self, W: Tensor) -> SearchDictionary:
        """The same columns with other weights."""
        return replace(self, W=W, idle=torch.where(W.any(dim=1), 0, self.idle + 1))

    def to_network(self) -> Network:
        """The columns that carry weight, with their weights: branches cut down to the neurons that they need."""
        kept = self.weighty
        parts = [(self.given, self._places(GIVEN, kept))]
        for b in self.owner[kept & (self.owner != GIVEN)].unique().tolist():
            assert self.genomes is not None
            branch = self.genomes.branch(b, self.given.dtype)
            parts.append((replace(self.given, branches=(branch,)), self._places(b, kept)))
        branches, weights = [], [self.W[:0]]
        for hidden, places in parts:
            part = self._cut(hidden, *places)
            branches += part.hidden.branches
            weights.append(part.W)
        return Network(replace(self.given, branches=tuple(branches)), torch.cat(weights))

    def outputs(self, sequences: Sequences, runner: BranchRunner) -> Tensor:
        """S = D W of other sequences, over which `runner` runs branches; float64 tensor of shape (rows, C)."""
        S = scores(self._cut(self.given, *self._places(GIVEN, self.weighty)), sequences)
        found = torch.nonzero(self.weighty & (self.owner != GIVEN)).flatten()
        if len(found):
            assert self.genomes is not None
            seen = runner.columns(self.genomes, self.owner[found], self.neuron[found])
            S = S + seen.T.to(torch.float64) @ self.W[found]
        return S

    def _cut(self, hidden: Hidden, chosen: Tensor, neurons: Tensor) -> Network:
        """`hidden` cut down to what its last-layer `neurons` need, with the weights of the columns `chosen`."""
        W = self.W.new_zeros(hidden.n_last, self.W.shape[1])
        W[neurons] = self.W[chosen]
        cut, left = keep_neurons(hidden, W.any(dim=1))
        return Network(cut, W[left])

    def _places(self, owner: int, kept: Tensor) -> tuple[Tensor, Tensor]:
        """The kept columns of one owner, and the last-layer neurons that give them."""
        chosen = torch.nonzero(kept & (self.owner == owner)).flatten()
        return chosen, self.neuron[chosen]


def dictionary_of(given: Hidden, sequences: Sequences, rows: Tensor, n_outputs: int) -> SearchDictionary:
    """The columns of `given`, at the `rows` of the dictionary that stand for equal ones."""
    if given.branches:
        dictionary = build_dictionary(given, sequences)
        neuron, bits = dictionary.neuron_of, dictionary.columns.dense(torch.uint8).T[:, rows] > 0
    else:
        neuron, bits = torch.zeros(0, dtype=torch.int64), torch.zeros(0, len(rows), dtype=torch.bool)
    given_marks = torch.full((len(neuron),), GIVEN)
    return SearchDictionary(
        given,
        None,
        given_marks,
        neuron,
        given_marks,
        torch.zeros_like(given_marks),
        BitColumns(pack_bits(bits), len(rows)),
        torch.zeros(len(neuron), n_outputs, dtype=torch.float64),
    )


def admit(
    pool: SearchDictionary, population: Population, owner: Tensor, neuron: Tensor, origin: Tensor, prefixes: Prefixes
) -> SearchDictionary:
    """The pool with the columns of the neurons named by `owner` and `neuron`, apart from those that it has already.

    The columns are those of the reference simulator, in the arithmetic of `prefixes`, that of the network to be.
    """
    dtype = prefixes.values[0].dtype
    packed = pack_bits(columns(population.map(lambda tensor: tensor.to(dtype)), owner, neuron, prefixes))
    index = _unknown(pool, packed)
    if len(index) == 0:
        return pool
    used, place = owner[index].unique(return_inverse=True)
    genomes, before = population.take(used), 0
    if pool.genomes is not None:
        before, genomes = len(pool.genomes), join_populations(pool.genomes, genomes)
    larger = replace(pool, genomes=genomes)
    return _extended(larger, place + before, neuron[index], origin[index], packed[index])


def admit_hidden(
    pool: SearchDictionary, hidden: Hidden, origin: int, sequences: Sequences, rows: MergedRows, pricing: DualPricing
) -> tuple[SearchDictionary, list[float]]:
    """The pool with the improving columns of other witnesses, which join `given`; and their scores, in its order."""
    dictionary = build_dictionary(hidden, sequences)
    bits = dictionary.columns.dense(torch.uint8).T[:, rows.groups.first] > 0
    worth = pricing.of_columns(bits)
    order = improving(worth)
    order = order[unlike(bits[order], len(order))]
    packed = pack_bits(bits[order])
    index = _unknown(pool, packed)
    if len(index) == 0:
        return pool, []
    larger = replace(pool, given=mix(pool.given, hidden) if pool.given.branches else hidden)
    neuron = pool.given.n_last + dictionary.neuron_of[order[index]]
    marks = torch.full((len(index),), GIVEN)
    larger = _extended(larger, marks, neuron, torch.full_like(marks, origin), packed[index])
    return larger, worth[order[index]].tolist()


def united(pool: SearchDictionary, other: SearchDictionary) -> SearchDictionary:
    """The columns of both: those of `other` that `pool` has not follow, with weight zero."""
    new = torch.zeros(len(other), dtype=torch.bool)
    new[_unknown(pool, other.columns.packed)] = True
    other = other.take(new)
    found, owner, neuron = other.owner != GIVEN, other.owner.clone(), other.neuron.clone()
    genomes = other.genomes if pool.genomes is None else pool.genomes
    if pool.genomes is not None and other.genomes is not None:
        owner[found] += len(pool.genomes)
        genomes = join_populations(pool.genomes, other.genomes)
    given = pool.given
    if not bool(found.all()):
        neuron[~found] += given.n_last
        given = mix(given, other.given) if given.branches else other.given
    larger = replace(pool, given=given, genomes=genomes)
    return _extended(larger, owner, neuron, other.origin, other.columns.packed)


def _unknown(pool: SearchDictionary, packed: Tensor) -> Tensor:
    """Which of new columns are not all zero, nor equal to one before them or in the pool."""
    known, new = {row.tobytes() for row in pool.columns.packed.numpy()}, []
    for i, row in enumerate(packed.numpy()):
        if row.any() and row.tobytes() not in known:
            known.add(row.tobytes())
            new.append(i)
    return torch.tensor(new, dtype=torch.int64)


def _extended(
    pool: SearchDictionary, owner: Tensor, neuron: Tensor, origin: Tensor, packed: Tensor
) -> SearchDictionary:
    """The pool with more columns, of weight zero."""
    return replace(
        pool,
        owner=torch.cat([pool.owner, owner]),
        neuron=torch.cat([pool.neuron, neuron]),
        origin=torch.cat([pool.origin, origin]),
        idle=torch.cat([pool.idle, torch.zeros_like(owner)]),
        columns=BitColumns(torch.cat([pool.columns.packed, packed]), pool.columns.n),
        W=torch.cat([pool.W, pool.W.new_zeros(len(owner), pool.W.shape[1])]),
    )
