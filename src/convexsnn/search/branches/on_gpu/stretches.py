"""A prefix tree cut into stretches of steps, within which every path has a lane of its own: how a GPU walks over it.

Paths that begin alike share a prefix, but lanes of a stretch do not: what two of them share there is run twice. Where
a stretch ends, states go through memory, and prefixes that are still shared are one path again. So a tree that is thin
at first and wide later is cut where it grows, and one of sequences that share nothing is not cut at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from convexsnn.prefixes import Prefixes

# What ends a stretch costs, in steps of one path: handing one path over, and beginning another stretch.
HANDING, BEGINNING = 2, 128
# Paths that are run together, about; and what their number is a multiple of, so that numbers are read four at a time.
TOGETHER_RUN, WHOLE = 64, 16


@dataclass(frozen=True, eq=False)
class Stretch:
    """Some steps of a prefix tree, as paths through them; the last few may be empty.

    Attributes
    ----------
    inputs : float tensor of shape (steps, d, paths)
        Zeros after the end of a path.
    parent : int32 tensor of shape (paths,)
        The path of the stretch before that each goes on from; 0 at the root.
    node : int64 tensor of shape (steps that are read, paths)
        Number in the tree of the prefix that is seen; the number of all nodes where an earlier path has that one.
    place : int32 tensor of shape (steps,)
        Which of the steps that are read each is, or -1.
    """

    inputs: Tensor
    parent: Tensor
    node: Tensor
    place: Tensor

    def to(self, device: torch.device) -> Stretch:
        """The same on a device."""
        return replace(self, **{name: tensor.to(device) for name, tensor in vars(self).items()})


def stretches_of(prefixes: Prefixes) -> tuple[Stretch, ...]:
    """Cut a prefix tree on the CPU into stretches, the first first."""
    parents = _parents(prefixes)
    cuts = best_cuts(prefixes.sizes, [_childless(parents, t, prefixes.sizes) for t in range(len(parents))])
    return tuple(_stretch(prefixes, parents, *ends) for ends in pairwise(cuts))


def _parents(prefixes: Prefixes) -> list[Tensor]:
    """The parent of each node, counted within its step; 0 at the root."""
    own = [torch.arange(size) if up is None else up for size, up in zip(prefixes.sizes, prefixes.parents, strict=True)]
    return [torch.zeros_like(own[0]), *own[1:]]


def _childless(parents: list[Tensor], t: int, sizes: list[int]) -> Tensor:
    """The nodes of step t with which a path ends."""
    alone = torch.ones(sizes[t], dtype=torch.bool)
    if t + 1 < len(parents):
        alone[parents[t + 1]] = False
    return torch.nonzero(alone).flatten()


def best_cuts(sizes: list[int], ended: list[Tensor]) -> list[int]:
    """The steps before which stretches begin, and the number of steps: those cuts of which walking takes the least."""
    T, size, before = len(sizes), np.array(sizes), np.cumsum([0, *map(len, ended)])
    least, begin = np.zeros(T + 1), np.zeros(T + 1, np.int64)
    for end in range(1, T + 1):
        start = np.arange(end)
        paths = size[end - 1] + before[end - 1] - before[start]
        whole = -(-paths // TOGETHER_RUN) * TOGETHER_RUN
        cost = least[:end] + whole * (end - start) + HANDING * paths + BEGINNING
        begin[end] = cost.argmin()
        least[end] = cost[begin[end]]
    cuts = [T]
    while cuts[0] > 0:
        cuts.insert(0, int(begin[cuts[0]]))
    return cuts


def _stretch(prefixes: Prefixes, parents: list[Tensor], first: int, end: int) -> Stretch:
    """The steps from `first` to before `end`."""
    sizes = prefixes.sizes
    levels = [torch.arange(sizes[end - 1])]
    for t in range(end - 2, first - 1, -1):
        levels.insert(0, torch.cat([parents[t + 1][levels[0]], _childless(parents, t, sizes)]))
    used, d = len(levels[0]), prefixes.values[0].shape[1]
    paths = -(-used // WHOLE) * WHOLE
    inputs = prefixes.values[0].new_zeros(end - first, d, paths)
    for t, level in enumerate(levels):
        inputs[t, :, : len(level)] = prefixes.values[first + t][level].T
    read = [t for t in range(first, end) if prefixes.read[t]]
    node = torch.full((len(read), paths), prefixes.n_nodes)
    for k, t in enumerate(read):
        level = levels[t - first].numpy()
        distinct, where = np.unique(level, return_index=True)
        node[k, torch.from_numpy(where)] = torch.from_numpy(distinct) + sum(sizes[:t])
    place = torch.full((end - first,), -1, dtype=torch.int32)
    place[torch.tensor(read, dtype=torch.int64) - first] = torch.arange(len(read), dtype=torch.int32)
    parent = torch.zeros(paths, dtype=torch.int32)
    if first:
        parent[:used] = parents[first][levels[0]].to(torch.int32)
    return Stretch(inputs, parent, node, place)
