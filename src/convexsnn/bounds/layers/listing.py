"""What is listed before two layers are priced: spike trains of the first, and functions of words of spikes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from convexsnn.bounds.cells.tree import DecisionTree
from convexsnn.bounds.family import NetworkFamily, Unit
from convexsnn.bounds.layers.clusters import Clusters, clustered
from convexsnn.bounds.patterns.enumerate import Patterns
from convexsnn.bounds.patterns.enumerations import ByCells, Decisions, Enumeration, enumeration_of
from convexsnn.prefixes import equal_prefixes
from convexsnn.rationals import Floats
from convexsnn.readouts import Readout
from convexsnn.sequences import Sequences

Numbers = NDArray[np.int64]

# Spike trains of one neuron, and functions of the words of all: more of them are not listed.
MOST = 400_000
# Numbers of the clusters' codes, and words of spikes.
MOST_CODES, MOST_WORDS = 2**28, 2**14


@dataclass(frozen=True, eq=False)
class Rows:
    """What is read: distinct prefixes of the sequences.

    Attributes
    ----------
    sequences : Sequences
        The distinct ones.
    prefix : int64 array
        A number for each step of these sequences, equal where the prefixes are.
    of_row : int64 array of shape (rows,)
        The prefix after which each row of the dictionary is read.
    kept : int64 array
        The rows of the dictionary that are those of the distinct sequences.
    steps : int64 array of shape (R, T)
        The steps, counted over all of `sequences`, of each of R prefixes that are read; -1 beyond its length.
    """

    sequences: Sequences
    prefix: Numbers
    of_row: Numbers
    kept: Numbers
    steps: Numbers

    @classmethod
    def of(cls, sequences: Sequences, *, every_step: bool) -> Rows:
        """Of sequences whose last steps, or all, are read."""
        same = equal_prefixes(sequences, every_step=False).numpy()
        _, kept, which = np.unique(same, return_index=True, return_inverse=True)
        distinct = sequences.take(torch.from_numpy(kept))
        lengths, ends = distinct.lengths.numpy(), np.cumsum(distinct.lengths.numpy())
        begins, read = ends - lengths, ends[which] - 1
        if every_step:
            read = _runs(begins[which], lengths[which])
            all_lengths = sequences.lengths.numpy()
            kept = _runs((np.cumsum(all_lengths) - all_lengths)[kept], lengths)
        prefix = equal_prefixes(distinct, every_step=True).numpy()
        _, place, of_row = np.unique(prefix[read], return_index=True, return_inverse=True)
        end = read[place]
        steps = begins[np.searchsorted(ends, end, side="right")][:, None] + np.arange(lengths.max())
        return cls(distinct, prefix, of_row, kept, np.where(steps <= end[:, None], steps, -1))

    @property
    def lengths(self) -> Numbers:
        """Steps of each prefix, (R,)."""
        return (self.steps >= 0).sum(axis=1)


def _runs(begins: Numbers, lengths: Numbers) -> Numbers:
    """Numbers from each begin on, so many, one run behind the other."""
    return np.concatenate([np.arange(begin, begin + k) for begin, k in zip(begins, lengths, strict=True)])


class Words:
    """All words of spikes of w neurons that are as long as a prefix that is read.

    The code of a neuron's train is the number whose binary digits are its spikes. A word has the codes of all neurons
    one behind the other, as one number, counted on from those of shorter words.

    Attributes
    ----------
    lengths : int64 array
        Each length once, in ascending order.
    width : int
    """

    def __init__(self, lengths: Numbers, width: int) -> None:
        self.lengths, self.width = np.unique(lengths), width

    @property
    def counts(self) -> Numbers:
        """How many words there are of each length."""
        return 2 ** (self.width * self.lengths)

    def starts(self, lengths: Numbers) -> Numbers:
        """The number of the first word of each of these lengths."""
        return (np.cumsum(self.counts) - self.counts)[np.searchsorted(self.lengths, lengths)]

    def sequences(self) -> Sequences:
        """The words as input of the layer above, in the order of their numbers."""
        longest = int(self.lengths[-1])
        parts = []
        for T in self.lengths.tolist():
            bits = np.array(list(itertools.product((0.0, 1.0), repeat=self.width * T)))
            words = bits.reshape(len(bits), self.width, T).transpose(0, 2, 1)
            parts.append(np.pad(words, ((0, 0), (0, longest - T), (0, 0))))
        lengths = np.repeat(self.lengths, self.counts)
        return Sequences(torch.from_numpy(np.concatenate(parts)), torch.from_numpy(lengths))


@dataclass(frozen=True, eq=False)
class Trains:
    """The spike trains that single neurons of the first layer can have.

    Attributes
    ----------
    tree : Decisions
        Says what `trains` of the patterns are.
    patterns : Patterns
    bits : uint8 array of shape (K, steps)
        Their spikes at all steps of the distinct sequences.
    clusters : Clusters
        Of their codes on the prefixes that are read.
    """

    tree: Decisions
    patterns: Patterns
    bits: NDArray[np.uint8]
    clusters: Clusters

    @classmethod
    def of(cls, unit: Unit, rows: Rows) -> Trains:
        """List them; ValueError where there are too many."""
        sequences = rows.sequences
        family = NetworkFamily(sequences.n_features, (unit,), every_step=True)
        way = enumeration_of(unit, family, sequences)
        _check_count(way, "spike trains of a first-layer neuron")
        patterns = way.patterns(lambda _: None)
        bits = np.unpackbits(patterns.columns, axis=1, count=sequences.rows(every_step=True))
        codes = np.zeros((len(bits), len(rows.steps)), dtype=np.int16)
        for step in rows.steps.T:
            codes = np.where(step >= 0, 2 * codes + bits[:, step], codes)
        _, once, prefix = np.unique(rows.prefix, return_index=True, return_inverse=True)
        through = np.bincount(prefix[rows.steps[rows.steps >= 0]], minlength=len(once)).astype(np.float64)
        return cls(way.tree, patterns, bits, _tree(bits[:, once], codes.astype(np.int16), through + 1.0))


@dataclass(frozen=True, eq=False)
class Functions:
    """What one kind of last-layer neurons can make of the words of spikes below them.

    Attributes
    ----------
    unit : Unit
    tree : DecisionTree
        Of all words.
    patterns : Patterns
    bits : uint8 array of shape (K, words)
    clusters : Clusters
        Of their bits.
    """

    unit: Unit
    tree: DecisionTree
    patterns: Patterns
    bits: NDArray[np.uint8]
    clusters: Clusters

    @classmethod
    def of(cls, unit: Unit, readout: Readout, words: Words) -> Functions:
        """List them; ValueError where there are too many."""
        total = int(words.counts.sum())
        if total > MOST_WORDS:
            raise ValueError(
                f"first layers of {words.width} neurons have {total:.1e} words of spikes, more than the {MOST_WORDS} "
                "that pricing of two layers lists: use shorter sequences, or fewer neurons in the first layer"
            )
        sequences = words.sequences()
        tree = DecisionTree.of(unit, NetworkFamily(words.width, (unit,), readout=readout), sequences)
        way = ByCells(tree)
        _check_count(way, "functions of the first layer's spikes")
        patterns = way.patterns(lambda _: None)
        bits = np.unpackbits(patterns.columns, axis=1, count=total)
        return cls(unit, tree, patterns, bits, _tree(bits, bits.astype(np.int16), np.ones(total)))

    def along(self, tree: DecisionTree, k: int) -> NDArray[np.uint8]:
        """What function number k decides on a tree of some of the words, packed as `DecisionTree.along` has it."""
        bits, places = np.unpackbits(self.patterns.trains[k], count=self.tree.n_nodes), list[int]()
        for own in zip(*_steps(tree), strict=True):
            places.append(self._nodes[(places[own[0]] if own[0] >= 0 else -1, *own[1:])])
        return np.packbits(bits[places])

    @cached_property
    def _nodes(self) -> dict[tuple, int]:
        return {own: k for k, own in enumerate(zip(*_steps(self.tree), strict=True))}


def _steps(tree: DecisionTree) -> tuple[list[int], list[tuple[bool, ...]], list[bool]]:
    """Of each node its parent, the spikes that it sees, and whether it reads the membrane."""
    return tree.parent.tolist(), [tuple(x) for x in (tree.x != 0).tolist()], tree.reads.tolist()


def _check_count(way: Enumeration, what: str) -> None:
    if way.visited > MOST:
        raise ValueError(
            f"there are about {way.visited:.1e} {what}, more than the {MOST} that pricing of two layers lists: use "
            "fewer or shorter sequences, fewer features, or fewer neurons in the first layer"
        )


def _tree(bits: NDArray[np.uint8], codes: NDArray[np.int16], weight: Floats) -> Clusters:
    if codes.size > MOST_CODES:
        raise ValueError(
            f"pricing of two layers would keep {codes.size:.1e} codes of {len(codes)} patterns, more than "
            f"{MOST_CODES:.1e}: use fewer or shorter sequences"
        )
    return clustered(bits, codes, weight)
