"""Populations run by the Triton kernel. Nothing imports this file but `walking_for`, where Triton was found."""

# Triton comes with PyTorch for CUDA alone, and gives compiled functions a subscript.
# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.readouts import Membrane
from convexsnn.search.branches.fused.genes import rows_of
from convexsnn.search.branches.fused.kernel import REST
from convexsnn.search.branches.on_gpu.kernel import Extent, Handed, Shape, StretchPointers, Written, walk_branch
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


def walked_sums(population: Population, stretches: tuple[Stretch, ...], counts: Tensor) -> Tensor:
    """See `Walking`."""
    counts = counts.to(population.layers[0].weight.dtype)
    counts = torch.cat([counts, counts.new_zeros(1, counts.shape[1])])  # what an earlier path has counts nothing
    paths = max(len(stretch.parent) for stretch in stretches)
    neurons = VECTORS * lanes_for(population)
    at_once = max(1, CHUNK_NUMBERS // (neurons * paths * (2 * len(population.layers) + OUTPUTS // 32)))
    parts = []
    for start in range(0, len(population), at_once):
        part = population.take(slice(start, start + at_once))
        few = [_walked(part, stretches, some)[0] for some in counts.split(OUTPUTS, dim=1)]
        parts.append(torch.cat(few, dim=2))
    return torch.cat(parts)[:, : population.m_last]


def walked_patterns(population: Population, stretches: tuple[Stretch, ...], owner: Tensor, neuron: Tensor) -> Tensor:
    """See `Walking`."""
    nothing = population.layers[0].weight.new_zeros(1 + max(int(s.node.max()) for s in stretches if len(s.node)), 0)
    at_once, parts = max(1, CHUNK_NUMBERS // (4 * len(nothing))), [torch.zeros(0, len(nothing), dtype=torch.bool)]
    for start in range(0, len(owner), at_once):
        used, branch = owner[start : start + at_once].unique(return_inverse=True)
        masks = nothing.new_zeros(len(used), len(nothing), dtype=torch.int64)
        for stretch, seen in zip(stretches, _walked(population.take(used), stretches, nothing)[1], strict=True):
            masks[:, stretch.node.flatten()] = seen.flatten(1)
        bit = neuron[start : start + at_once].to(masks.device).unsqueeze(1)
        parts.append((masks[branch.to(masks.device)] >> bit & 1).to(torch.bool).cpu())
    return torch.cat(parts)


def _walked(population: Population, stretches: tuple[Stretch, ...], counts: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Sums (B, V * lanes, C) for few branches and outputs, and the bits of what is seen where there are no outputs."""
    numbers, layers = rows_of(population, lanes_for(population))
    B, C = len(population), counts.shape[1]
    shape = shape_of(numbers, layers, C, membrane=isinstance(population.readout, Membrane))
    carried = torch.stack([numbers[:, :, settings + REST] for *_, settings in layers], dim=1).unsqueeze(4)
    numbers, sums = numbers.contiguous(), numbers.new_zeros(B, shape.vectors, shape.lanes, shape.outputs)
    kept = []
    for stretch in stretches:
        (steps, _, paths), read = stretch.inputs.shape, len(stretch.node)
        blocks, on = -(-paths // shape.paths), stretch is not stretches[-1]
        after = numbers.new_empty(*carried.shape[:4], paths if on else 0)
        seen = numbers.new_empty((B, read, paths) if shape.keeps else 0, dtype=torch.int64)
        written = Written(numbers.new_empty(blocks, *sums.shape), seen)
        U = counts[stretch.node].transpose(1, 2).contiguous()
        tree = StretchPointers(stretch.inputs.to(sums.dtype), stretch.parent, stretch.place, U, paths)
        extent = Extent(steps, read, C, carried.shape[4], int(on))
        with torch.cuda.device_of(numbers):  # kernels are started on the current device
            walk_branch[B, blocks](tree, numbers, Handed(carried, after), written, extent, shape, **OPTIONS)
        carried, sums = after, sums + written.sums.sum(dim=0)
        kept.append(seen)
    return sums.flatten(1, 2)[:, :, :C], kept


def shape_of(numbers: Tensor, layers: list[tuple[int, int, int, int]], outputs: int, *, membrane: bool) -> Shape:
    """What code has to be compiled for: branches as `rows_of` has them, and so many outputs.

    Without outputs, what is seen is kept. Nothing depends on a clock: with other sizes sums would be taken in another
    order, and a search would give another network from day to day.
    """
    _, vectors, rows, lanes = numbers.shape
    fits = max(1, 32 * IN_REGISTERS // (vectors * lanes * len(layers)))
    paths = min(MOST_PATHS, max(32, 1 << fits.bit_length() - 1))
    room = 1 << max(0, outputs - 1).bit_length()
    return Shape(tuple(layers), vectors, rows, lanes, paths, room, membrane, keeps=outputs == 0)


def lanes_for(population: Population) -> int:
    """Neurons of a vector: the least power of two with which the widest layer is at most four vectors."""
    return max(LANES, 1 << (-(-population.widest // VECTORS) - 1).bit_length())
