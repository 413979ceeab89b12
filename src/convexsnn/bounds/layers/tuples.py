"""Batches of tuples of clusters: of what last-layer neurons make of spikes, and of the trains of the neurons below."""

# Numbers of arrays are numbers in compiled code, which has other signatures.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.layers.clusters import Clusters
from convexsnn.compiling import cached
from convexsnn.rationals import Floats

Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tuples:
    """A batch of B regions of pairs of layers.

    Attributes
    ----------
    clusters : int64 array of shape (B, w + 1)
        Of functions of words; then of the trains of w neurons, whose order does not matter.
    low, high : float64 arrays of shape (B, C)
        d^T U lies between, for all patterns d of the region.
    choice : int64 array of shape (B,)
        Which of the clusters to split next; -1 where d^T U is known.
    """

    clusters: Numbers
    low: Floats
    high: Floats
    choice: Numbers

    def __len__(self) -> int:
        return len(self.clusters)

    @property
    def certain(self) -> NDArray[np.bool_]:
        """Whether each part of the region is that of neurons: (B,)."""
        return np.ones(len(self), dtype=bool)

    @property
    def cuttable(self) -> NDArray[np.bool_]:
        """Whether the region can be cut: (B,)."""
        return np.ones(len(self), dtype=bool)

    def take(self, index: Numbers) -> Tuples:
        """Some of them."""
        return Tuples(self.clusters[index], self.low[index], self.high[index], self.choice[index])

    @classmethod
    def joined(cls, many: list[Tuples]) -> Tuples:
        """All of them as one batch."""
        parts = ([each.clusters, each.low, each.high, each.choice] for each in many)
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


class Read(NamedTuple):
    """What is read of two layers, and what it is worth.

    Attributes
    ----------
    first : int64 array of shape (R,)
        The number of the first word as long as each prefix that is read.
    length : int64 array of shape (R,)
        Its steps.
    gain : float64 array of shape (R, C)
        The sum of U over the rows that read it.
    """

    first: NDArray
    length: NDArray
    gain: NDArray


def bounded(clusters: Numbers, functions: Clusters, trains: Clusters, read: Read) -> Tuples:
    """The regions of these clusters (B, w + 1)."""
    B, C = len(clusters), read.gain.shape[1]
    found = Tuples(clusters, np.zeros((B, C)), np.zeros((B, C)), np.full(B, -1))
    _bound(clusters, functions.code, trains.code, read, found.low, found.high, found.choice)
    return found


def split(regions: Tuples, functions: Clusters, trains: Clusters) -> tuple[Numbers, Numbers]:
    """The parts of the chosen cluster in its place, as clusters (P, w + 1), and which region each is a part of.

    A cluster of trains that stands for several neurons is split for all of them at once: of k neurons none, one, ...
    or all of k are in its second part, as their order does not matter.
    """
    at, own = regions.clusters, regions.choice
    rows = np.arange(len(at))
    tops = np.flatnonzero(own == 0)
    parts, origins = [], []
    for part in functions.parts[at[tops, 0]].T:
        parts.append(np.concatenate([part[:, None], at[tops, 1:]], axis=1))
        origins.append(tops)
    below = np.flatnonzero(own > 0)
    chosen = at[below, own[below]]
    same = at[below, 1:] == chosen[:, None]
    rank, count = np.cumsum(same, axis=1), same.sum(axis=1)
    first, second = trains.parts[chosen].T
    for k in range(at.shape[1]):
        some = k <= count
        new = np.where(same & (rank <= k), second[:, None], np.where(same, first[:, None], at[below, 1:]))
        parts.append(np.concatenate([at[below, :1], new], axis=1)[some])
        origins.append(below[some])
    return np.concatenate(parts), rows[np.concatenate(origins)]


@cached
def _bound(
    clusters: NDArray, functions: NDArray, trains: NDArray, read: Read, low: NDArray, high: NDArray, choice: NDArray
) -> None:
    """Enter the bounds of all regions, and which cluster leaves most of U open."""
    R, C = read.gain.shape
    W, w = functions.shape[1], clusters.shape[1] - 1
    sums, seen, met = np.zeros((W, C)), np.zeros(W, dtype=np.bool_), np.empty(R, dtype=np.int64)
    size, mass = np.zeros(R), np.zeros(w + 1)
    for i in range(R):
        size[i] = np.abs(read.gain[i]).sum()
    for b in range(len(clusters)):
        count = 0
        mass[:] = 0.0
        for i in range(R):
            word, sure = 0, True
            for j in range(1, w + 1):
                code = trains[clusters[b, j], i]
                if code < 0:
                    sure = False
                    mass[j] += size[i]
                else:
                    word = (word << read.length[i]) | code
            if sure:
                word += read.first[i]
                if not seen[word]:
                    seen[word], met[count] = True, word
                    count += 1
                for c in range(C):
                    sums[word, c] += read.gain[i, c]
            else:
                for c in range(C):
                    high[b, c] += max(read.gain[i, c], 0.0)
                    low[b, c] += min(read.gain[i, c], 0.0)
        for k in range(count):  # rows of equal words have equal bits
            bit = functions[clusters[b, 0], met[k]]
            for c in range(C):
                total = sums[met[k], c]
                if bit < 0:
                    mass[0] += abs(total)
                high[b, c] += total if bit > 0 else max(total, 0.0) if bit < 0 else 0.0
                low[b, c] += total if bit > 0 else min(total, 0.0) if bit < 0 else 0.0
                sums[met[k], c] = 0.0
            seen[met[k]] = False
        largest = int(np.argmax(mass))
        if mass[largest] > 0.0:
            choice[b] = largest
