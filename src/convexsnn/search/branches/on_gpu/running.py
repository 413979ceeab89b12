"""Populations run by the Triton kernel, where there is one that runs."""

from __future__ import annotations

import importlib.util
from functools import cache

import torch
from torch import Tensor

from convexsnn.readouts import Membrane
from convexsnn.search.branches.fused.genes import rows_of, widest
from convexsnn.search.branches.fused.kernel import REST
from convexsnn.search.branches.fused.running import WIDEST
from convexsnn.search.branches.on_gpu.stretches import Stretch
from convexsnn.search.branches.population import Population

# The first version of Triton with which this was tried: that of torch 2.13.
OLDEST = (3, 9)
# Neurons of a vector. All numbers of one are read together, and a layer is padded to whole vectors.
LANES = 4
# Numbers that each of the 32 threads of a program keeps of potentials, and most paths of a program.
KEPT_NUMBERS, MOST_PATHS = 64, 128
# Outputs that are scored in one pass; for more, branches are run again.
OUTPUTS = 32
# Numbers of what is handed on and of sums that are held at a time.
CHUNK_NUMBERS = 2**28


def can_walk(population: Population) -> bool:
    """Whether the kernel runs a population: on a GPU for which Triton compiles, with layers of at most 64 neurons."""
    device = population.device
    return device.type == "cuda" and widest(population) <= WIDEST and compiles_for(device)


@cache
def compiles_for(device: torch.device) -> bool:
    """Whether Triton is there and compiles for a device: one of NVIDIA since Ampere, with a C compiler at hand."""
    if importlib.util.find_spec("triton") is None or torch.version.cuda is None:
        return False
    import triton

    if tuple(map(int, triton.__version__.split(".")[:2])) < OLDEST or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    try:  # what starts kernels is compiled in C, and Triton raises whatever the compiler or its absence leads to
        return triton.runtime.driver.active.utils is not None
    except Exception:
        return False


def walked(population: Population, stretches: tuple[Stretch, ...], counts: Tensor) -> Tensor:
    """Sums over what is seen of every last-layer neuron: float tensor (B, m, C) from counts of shape (nodes, C)."""
    counts = torch.cat([counts, counts.new_zeros(1, counts.shape[1])])  # what an earlier path has counts nothing
    size = max(1, CHUNK_NUMBERS // _numbers_each(population, stretches))
    parts = []
    for start in range(0, len(population), size):
        part = population.take(slice(start, start + size))
        parts.append(torch.cat([_walked(part, stretches, few) for few in counts.split(OUTPUTS, dim=1)], dim=2))
    return torch.cat(parts)[:, : population.m_last]


def _numbers_each(population: Population, stretches: tuple[Stretch, ...]) -> int:
    """Numbers that are held for a branch, at most."""
    paths, neurons = max(len(stretch.parent) for stretch in stretches), LANES * -(-widest(population) // LANES)
    return neurons * (2 * len(population.layers) * paths + OUTPUTS * -(-paths // 32))


def _walked(population: Population, stretches: tuple[Stretch, ...], counts: Tensor) -> Tensor:
    """The same for few branches and outputs, and neurons up to whole vectors."""
    from convexsnn.search.branches.on_gpu.kernel import Handed, Shape, Walk, walk

    numbers, layers = rows_of(population, LANES)
    B, vectors, rows, _ = numbers.shape
    C, room = counts.shape[1], 1 << (counts.shape[1] - 1).bit_length()
    paths = paths_of_a_program(vectors * LANES, len(layers))
    shape = Shape(tuple(layers), vectors, rows, LANES, paths, room, isinstance(population.readout, Membrane))
    carried = torch.stack([numbers[:, :, settings + REST] for *_, settings in layers], dim=1).unsqueeze(4)
    numbers, sums = numbers.contiguous(), numbers.new_zeros(B, vectors, LANES, room)
    for stretch in stretches:
        steps, _, width = stretch.inputs.shape
        U = counts[stretch.node].transpose(1, 2).contiguous()
        blocks, on = -(-width // paths), stretch is not stretches[-1]
        after = numbers.new_empty(B, len(layers), vectors, LANES, width if on else 0)
        total = numbers.new_empty(blocks, *sums.shape)
        tree = Walk(stretch.inputs, stretch.parent, stretch.place, U, steps, width, C)
        handed = Handed(carried, after, carried.shape[4], int(on))
        walk[B, blocks](tree, numbers, handed, total, shape, num_warps=1, enable_fp_fusion=True)
        carried, sums = after, sums + total.sum(dim=0)
    return sums.flatten(1, 2)[:, :, :C]


def paths_of_a_program(neurons: int, layers: int) -> int:
    """So many that potentials stay in registers: a power of two from 32 on, one warp of lanes."""
    fits = 32 * KEPT_NUMBERS // (neurons * layers)
    return min(MOST_PATHS, max(32, 1 << (fits.bit_length() - 1 if fits else 0)))
