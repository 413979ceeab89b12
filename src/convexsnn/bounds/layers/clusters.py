"""Patterns as a binary tree of clusters, in compiled code: members of a cluster agree on ever more of their codes."""

# Numbers of arrays are numbers in compiled code, which has other signatures.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convexsnn.compiling import cached


class Clusters(NamedTuple):
    """A tree of N = 2 K - 1 clusters of K patterns; cluster 0 has all of them.

    Attributes
    ----------
    code : int16 array of shape (N, R)
        The codes that all members have; -1 where they differ.
    parts : int64 array of shape (N, 2)
        The two clusters that it consists of; -1 for a single pattern.
    member : int64 array of shape (N,)
        One of its patterns.
    """

    code: NDArray[np.int16]
    parts: NDArray[np.int64]
    member: NDArray[np.int64]


def clustered(bits: NDArray[np.uint8], codes: NDArray[np.int16], weight: NDArray[np.float64]) -> Clusters:
    """The tree of distinct patterns (K, B), split by bits of much weight (B,) that halve them well; codes (K, R)."""
    K, R = codes.shape
    code, parts = np.empty((2 * K - 1, R), dtype=np.int16), np.full((2 * K - 1, 2), -1)
    tree = Clusters(code, parts, np.zeros(2 * K - 1, dtype=np.int64))
    _grow(bits, codes, weight, tree)
    return tree


@cached
def _grow(bits: NDArray, codes: NDArray, weight: NDArray, tree: Clusters) -> None:
    K, B = bits.shape
    order, ends = np.arange(K), np.zeros((len(tree.member), 2), dtype=np.int64)
    ends[0, 1], made = K, 1
    ones = np.zeros(B, dtype=np.int64)
    for node in range(len(tree.member)):
        first, last = ends[node, 0], ends[node, 1]
        tree.member[node] = order[first]
        tree.code[node] = codes[order[first]]
        for i in range(first + 1, last):
            for r in range(codes.shape[1]):
                if codes[order[i], r] != tree.code[node, r]:
                    tree.code[node, r] = -1
        if last - first == 1:
            continue
        ones[:] = 0
        for i in range(first, last):
            for j in range(B):
                ones[j] += bits[order[i], j]
        split, best = -1, 0.0
        for j in range(B):
            smaller = min(ones[j], last - first - ones[j])
            if smaller > 0 and smaller * weight[j] > best:
                split, best = j, smaller * weight[j]
        low, high = first, last - 1
        while low <= high:
            if bits[order[low], split] == 0:
                low += 1
            else:
                order[low], order[high] = order[high], order[low]
                high -= 1
        ends[made, 0], ends[made, 1] = first, low
        ends[made + 1, 0], ends[made + 1, 1] = low, last
        tree.parts[node, 0], tree.parts[node, 1] = made, made + 1
        made += 2
