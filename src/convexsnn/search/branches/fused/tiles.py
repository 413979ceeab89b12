"""A prefix tree cut into tiles that fit into cache: how compiled code walks over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexsnn.prefixes import Prefixes
from convexsnn.search.branches.fused.kernel import ABREAST, TOGETHER

# Paths of a tile: with fewer, blocks are short; with more, what is carried for them is far from the processor.
PATHS = 256
# With at most so many distinct inputs, their products with weights are kept for a whole run.
FEW_INPUTS = 256


@dataclass(frozen=True, eq=False)
class Tiles:
    """The nodes of a prefix tree, tile by tile and within a tile step by step.

    A tile has some of the tree's paths as a whole: prefixes that several tiles share are in each of them, and count in
    the first. All nodes of one tile and step are a block. Blocks of a tile follow one another. A block has whole groups
    of nodes: where these are not full, its last node is there several times, and counts once.

    Attributes
    ----------
    blocks : int64 array of shape (blocks, 6)
        Of each: first node, number of nodes, whether it is at the root, first group of inputs, number of groups; and
        place of its first node among those of all blocks that are read, or -1.
    parent : int32 array of shape (nodes,)
        Place in the block before that each goes on from.
    code : int32 array of shape (nodes,)
        Which of the inputs of its block it is shown; where it has none, of the last block that has some.
    inputs : float array of shape (groups * d * 8,)
        In groups of eight, feature by feature within a group.
    node : int64 array of shape (nodes,)
        Number in the prefix tree.
    owned : bool array of shape (nodes,)
        Whether rows that are read after it count here, and not in a tile before.
    """

    blocks: NDArray[np.int64]
    parent: NDArray[np.int32]
    code: NDArray[np.int32]
    inputs: NDArray
    node: NDArray[np.int64]
    owned: NDArray[np.bool_]

    @property
    def starts(self) -> NDArray[np.int64]:
        """The first block of each tile, and the number of blocks."""
        return np.append(np.flatnonzero(self.blocks[:, 2]), len(self.blocks))

    @property
    def extent(self) -> tuple[int, int]:
        """Most nodes and most inputs of a block, these in whole groups."""
        return int(self.blocks[:, 1].max()), TOGETHER * int(self.blocks[:, 4].max())

    @property
    def read(self) -> NDArray[np.int64]:
        """The nodes of all blocks that are read, one block after another."""
        return self.node[np.repeat(self.blocks[:, 5] >= 0, self.blocks[:, 1])]

    def lay_out(self, values: NDArray) -> NDArray:
        """Numbers (tree nodes, C) of rows as they are read here: (C, places)."""
        read = np.repeat(self.blocks[:, 5] >= 0, self.blocks[:, 1])
        return np.ascontiguousarray((values[self.node[read]] * self.owned[read, None]).T)


def cut(prefixes: Prefixes) -> Tiles:
    """Cut a prefix tree into tiles; prefixes that lead to no row are left out."""
    parent, step = _parents(prefixes), np.repeat(np.arange(len(prefixes.sizes)), prefixes.sizes)
    tile, node, owned = _in_tiles(prefixes, parent)
    order = np.lexsort((node, tile))
    tile, node, owned = tile[order], node[order], owned[order]
    begins = np.flatnonzero(np.r_[True, (np.diff(tile) != 0) | (np.diff(step[node]) != 0)])
    length = np.diff(np.r_[begins, len(node)])
    # Within a tile nodes are in the order of the tree, so that each can be found by its number.
    named = tile * len(parent) + node
    above = np.searchsorted(named, tile * len(parent) + parent[node]) - np.repeat(np.r_[0, begins[:-1]], length)
    root = parent[node[begins]] < 0
    above[np.repeat(root, length)] = 0
    place, once = _in_groups(begins, length)
    node, owned, above = node[place], owned[place] & once, above[place]
    length = -(-length // ABREAST) * ABREAST
    begins = np.cumsum(length) - length
    code, inputs, first, groups = _inputs(prefixes, node, begins, length, root)
    read = np.asarray(prefixes.read)[step[node[begins]]]
    place = np.where(read, np.cumsum(length * read) - length, -1)
    blocks = np.stack([begins, length, root, first, groups, place], axis=1).astype(np.int64)
    return Tiles(blocks, above.astype(np.int32), code.astype(np.int32), inputs, node, owned)


def _in_groups(begins: NDArray[np.int64], length: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """Places of blocks in whole groups, where the last node of each is there several times; and which are the first."""
    wanted = -(-length // ABREAST) * ABREAST
    within = np.arange(wanted.sum()) - np.repeat(np.cumsum(wanted) - wanted, wanted)
    last = np.repeat(length - 1, wanted)
    return np.repeat(begins, wanted) + np.minimum(within, last), within <= last


def _parents(prefixes: Prefixes) -> NDArray[np.int64]:
    """The parent of each node, counted over all steps; -1 at the root."""
    base, parents = 0, [np.full(prefixes.sizes[0], -1)]
    for size, own, above in zip(prefixes.sizes[1:], prefixes.parents[1:], prefixes.sizes, strict=False):
        parents.append(base + (np.arange(size) if own is None else own.numpy()))
        base += above
    return np.concatenate(parents).astype(np.int64)


def _in_tiles(prefixes: Prefixes, parent: NDArray[np.int64]) -> tuple[NDArray, NDArray, NDArray]:
    """Tile and node of each place, in the order of nodes, and whether it is the first place of its node."""
    paths, start = _paths(prefixes, parent)
    total = int(paths[: prefixes.sizes[0]].sum())
    of_tile = -(-total // -(-total // PATHS))
    used = np.flatnonzero(paths)
    first, last = start[used] // of_tile, (start[used] + paths[used] - 1) // of_tile
    number = last - first + 1
    since = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    return np.repeat(first, number) + since, np.repeat(used, number), since == 0


def _paths(prefixes: Prefixes, parent: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many paths that end with a row go through each node, and how many are left of them."""
    ends = np.cumsum(prefixes.sizes)
    levels = [slice(end - size, end) for end, size in zip(ends, prefixes.sizes, strict=True)]
    paths, start = np.zeros(len(parent), np.int64), np.zeros(len(parent), np.int64)
    read = np.zeros(len(parent), bool)
    read[prefixes.node_of_row.numpy()] = True
    for level in reversed(levels):
        paths[level] = np.where(read[level], np.maximum(paths[level], 1), paths[level])
        if level.start:
            np.add.at(paths, parent[level], paths[level])
    for level in levels:
        left, above = np.cumsum(paths[level]) - paths[level], parent[level]
        # Children of one node stand side by side.
        siblings = np.searchsorted(above, above)
        start[level] = left - left[siblings] + start[above] if level.start else left
    return paths, start


def _inputs(
    prefixes: Prefixes, node: NDArray[np.int64], begins: NDArray[np.int64], length: NDArray[np.int64], root: NDArray
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Codes of inputs, inputs in groups, and each block's first group and number of groups.

    Where there are few distinct inputs, the first block of a tile has them all.
    """
    values = np.concatenate([x.numpy() for x in prefixes.values])
    distinct, code = _distinct(values)
    if distinct is not None:
        flat, groups = _grouped(distinct, np.array([len(distinct)]))
        return code[node].astype(np.int32), flat, np.zeros(len(begins), np.int64), np.where(root, groups, 0)
    flat, groups = _grouped(values[node], length)
    within = np.arange(len(node)) - np.repeat(begins, length)
    return within.astype(np.int32), flat, np.cumsum(groups) - groups, groups


def _grouped(values: NDArray, length: NDArray[np.int64]) -> tuple[NDArray, NDArray[np.int64]]:
    """Inputs in groups of eight, blocks of so many one after another; and each block's number of groups."""
    groups = -(-length // TOGETHER)
    # Each block begins with a new group.
    gaps = np.repeat(np.cumsum(groups) * TOGETHER - groups * TOGETHER - (np.cumsum(length) - length), length)
    padded = np.zeros((int(groups.sum()) * TOGETHER, values.shape[1]), values.dtype)
    padded[np.arange(len(values)) + gaps] = values
    return padded.reshape(-1, TOGETHER, values.shape[1]).transpose(0, 2, 1).ravel(), groups


def _distinct(values: NDArray) -> tuple[NDArray | None, NDArray]:
    """The distinct rows and which of them each row is; None where there are more than a few."""
    nothing = np.zeros(0, np.int64)
    some = values[: 4 * FEW_INPUTS]
    if len(np.unique(some, axis=0)) > FEW_INPUTS:
        return None, nothing
    distinct, code = np.unique(values, axis=0, return_inverse=True)
    return (distinct, code.ravel()) if len(distinct) <= FEW_INPUTS else (None, nothing)
