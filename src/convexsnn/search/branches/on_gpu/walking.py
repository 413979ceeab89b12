"""Populations run by the Triton kernel. Nothing imports this file but `walker_for`, where Triton was found."""

# Triton comes with PyTorch for CUDA alone, and gives compiled functions a subscript.
# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.readouts import Membrane
from convexsnn.search.branches.fused.genes import rows_of
from convexsnn.search.branches.fused.kernel import REST
from convexsnn.search.branches.on_gpu.kernel import Handed, Shape, Walk, walk_branch
from convexsnn.search.branches.on_gpu.stretches import Stretch
from convexsnn.search.branches.population import Population

# Fewest neurons of a vector, whose numbers are read together, and most vectors that a layer is padded to.
LANES, VECTORS = 4, 4
# Potentials that each of the 32 threads of a program has in registers, and most paths of a program.
IN_REGISTERS, MOST_PATHS = 64, 128
# Outputs that are scored in one pass; for more, branches are run again.
OUTPUTS = 32
# Numbers of what is handed on and of sums that are held at a time.
CHUNK_NUMBERS = 2**28
# One warp runs a program, and a * b + c is rounded once.
OPTIONS = {"num_warps": 1, "enable_fp_fusion": True}


def walked(population: Population, stretches: tuple[Stretch, ...], counts: Tensor) -> Tensor:
    """Sums over what is seen of every last-layer neuron: float tensor (B, m, C) from counts of shape (nodes, C)."""
    counts = counts.to(population.layers[0].weight.dtype)
    counts = torch.cat([counts, counts.new_zeros(1, counts.shape[1])])  # what an earlier path has counts nothing
    size = max(1, CHUNK_NUMBERS // _numbers_each(population, stretches))
    parts = []
    with torch.cuda.device_of(counts):  # Triton starts kernels on the current device
        for start in range(0, len(population), size):
            part = population.take(slice(start, start + size))
            parts.append(torch.cat([_walked(part, stretches, few) for few in counts.split(OUTPUTS, dim=1)], dim=2))
    return torch.cat(parts)[:, : population.m_last]


def _numbers_each(population: Population, stretches: tuple[Stretch, ...]) -> int:
    """Numbers that are held for a branch, at most."""
    paths, lanes = max(len(stretch.parent) for stretch in stretches), lanes_for(population)
    return -(-population.widest // lanes) * lanes * (2 * len(population.layers) * paths + OUTPUTS * -(-paths // 32))


def _walked(population: Population, stretches: tuple[Stretch, ...], counts: Tensor) -> Tensor:
    """The same for few branches and outputs, and neurons up to whole vectors."""
    numbers, layers = rows_of(population, lanes_for(population))
    B, C, shape = len(population), counts.shape[1], shape_of(population, counts.shape[1])
    carried = torch.stack([numbers[:, :, settings + REST] for *_, settings in layers], dim=1).unsqueeze(4)
    numbers, sums = numbers.contiguous(), numbers.new_zeros(B, shape.vectors, shape.lanes, shape.outputs)
    for stretch in stretches:
        steps, _, paths = stretch.inputs.shape
        blocks, on = -(-paths // shape.paths), stretch is not stretches[-1]
        after = numbers.new_empty(*carried.shape[:4], paths if on else 0)
        total = numbers.new_empty(blocks, *sums.shape)
        U = counts[stretch.node].transpose(1, 2).contiguous()
        tree = Walk(stretch.inputs, stretch.parent, stretch.place, U, steps, paths, C)
        handed = Handed(carried, after, carried.shape[4], int(on))
        walk_branch[B, blocks](tree, numbers, handed, total, shape, **OPTIONS)
        carried, sums = after, sums + total.sum(dim=0)
    return sums.flatten(1, 2)[:, :, :C]


def shape_of(population: Population, outputs: int) -> Shape:
    """What code has to be compiled for, for scores of so many outputs.

    It does not depend on a clock: with other sizes sums would be taken in another order, and a search would give
    another network from day to day.
    """
    numbers, layers = rows_of(population.take(slice(0, 1)), lanes_for(population))
    _, vectors, rows, lanes = numbers.shape
    fits = 32 * IN_REGISTERS // (vectors * lanes * len(layers))
    paths = min(MOST_PATHS, max(32, 1 << fits.bit_length() - 1))
    room = 1 << (outputs - 1).bit_length()
    return Shape(tuple(layers), vectors, rows, lanes, paths, room, isinstance(population.readout, Membrane))


def lanes_for(population: Population) -> int:
    """Neurons of a vector: the least power of two with which the widest layer is at most four vectors."""
    return max(LANES, 1 << (-(-population.widest // VECTORS) - 1).bit_length())
