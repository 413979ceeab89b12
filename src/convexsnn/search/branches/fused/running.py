"""Populations run by compiled code, on as many threads as torch has."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.lanes import lanes_of
from convexsnn.search.branches.fused.genes import genes_of, room, vectors_of
from convexsnn.search.branches.fused.kernel import CODES, Genes, Room, Tree, run
from convexsnn.search.branches.fused.tiles import Tiles
from convexsnn.search.branches.population import Population
from convexsnn.team import Team

# The spikes of a layer are the bits of one integer.
WIDEST = 64
# Neuron steps below which a thread is not worth its start.
LEAST_STEPS = 2**21
# Numbers of what is read of branches that are held at a time.
CHUNK_NODES = 2**22


def knows(population: Population) -> bool:
    """Whether compiled code can run a population: on the CPU, with layers of at most 64 neurons."""
    return population.widest <= WIDEST and population.device.type == "cpu"


def correlations(population: Population, tiles: Tiles, counts: Tensor) -> Tensor:
    """Sums over what is seen of every last-layer neuron: float tensor (B, m, C) from counts of shape (nodes, C)."""
    dtype, shape = population.layers[0].weight.dtype, (len(population), vectors_of(population), counts.shape[1])
    total = room(int(np.prod(shape)) * lanes_of(dtype.itemsize), dtype)
    _run(population, tiles, tiles.lay_out(counts.to(dtype).numpy()), np.empty((len(population), 0), np.uint64), total)
    sums = torch.from_numpy(total).reshape(*shape, -1)
    return sums.transpose(2, 3).flatten(1, 2)[:, : population.m_last].contiguous()


def patterns(population: Population, tiles: Tiles, nodes: Tensor, owner: Tensor, neuron: Tensor) -> Tensor:
    """What is seen of chosen last-layer neurons after the tree's `nodes`: bool tensor (P, len(nodes)).

    After nodes that lead to no row, anything.
    """
    place, read = np.zeros(max(int(nodes.max()), tiles.node.max()) + 1, np.int64), tiles.read
    place[read] = np.arange(len(read))
    place = place[nodes.numpy()]
    found, size = np.empty((len(owner), len(place)), bool), max(1, CHUNK_NODES // len(read))
    nothing = room(0, population.layers[0].weight.dtype)
    for part in torch.arange(len(owner)).split(size):
        used, branch = owner[part].unique(return_inverse=True)
        seen = np.empty((len(used), len(read)), np.uint64)
        _run(population.take(used), tiles, nothing.reshape(0, 0), seen, nothing)
        bit = neuron[part].numpy().astype(np.uint64)[:, None]
        found[part.numpy()] = seen[branch.numpy()][:, place] >> bit & np.uint64(1)
    return torch.from_numpy(found)


def _run(population: Population, tiles: Tiles, U: NDArray, seen: NDArray, total: NDArray) -> None:
    """Compiled code on all branches, shared among threads.

    Each thread has memory of its own, and no branch depends on another: the result is the same for any number of them.
    """
    dtype, branches = population.layers[0].weight.dtype, len(population)
    inputs = torch.from_numpy(tiles.inputs).to(dtype).numpy()
    tree = Tree(tiles.starts, tiles.blocks, tiles.parent, tiles.code, inputs, U)
    steps = branches * population.widest * len(population.layers) * len(tiles.node)
    threads = max(1, min(torch.get_num_threads(), branches, steps // LEAST_STEPS))
    ends, each = np.linspace(0, branches, threads + 1).astype(int).tolist(), len(total) // max(1, branches)

    def work(share: tuple[int, int]) -> None:
        first, last = share
        genes = genes_of(population.take(slice(first, last)))
        run(tree, genes, _room(genes, tiles, dtype), seen[first:last], total[first * each : last * each])

    Team(threads).each(work, list(pairwise(ends)))


def _room(genes: Genes, tiles: Tiles, dtype: torch.dtype) -> Room:
    vectors, _, lanes, groups = genes.sizes.tolist()
    (nodes, shown), layers = tiles.extent, len(genes.layers)
    return Room(
        room(vectors * shown * lanes, dtype),
        room(2 * layers * vectors * groups * CODES * lanes, dtype),
        room(2 * layers * vectors * nodes * lanes, dtype),
        np.zeros((2 * layers + 1) * nodes, np.uint64),
        np.array([nodes, shown]),
    )
