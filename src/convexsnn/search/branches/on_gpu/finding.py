"""Whether there is a kernel for a population where it is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from convexsnn.search.branches.fused.running import WIDEST
from convexsnn.search.branches.on_gpu.stretches import Stretch
from convexsnn.search.branches.population import Population

# The version of Triton with which the kernel was tried: that of torch 2.13.
OLDEST = (3, 9)
# Compute capability of the first GPUs that it is for: Ampere.
FIRST_GPUS = (8, 0)

Walker = Callable[[Population, tuple[Stretch, ...], Tensor], Tensor]


def walker_for(population: Population) -> Walker | None:
    """What runs a population by the kernel (`walking.walked`); None where it is for the reference to run.

    The kernel takes all that `Population` can be, on a GPU for which Triton compiles, in layers of at most 64 neurons.
    """
    device = population.device
    if device.type != "cuda" or population.widest > WIDEST or not _compiles_for(device):
        return None
    from convexsnn.search.branches.on_gpu.walking import walked

    return walked


@cache
def _compiles_for(device: torch.device) -> bool:
    """Whether Triton is there and compiles for a device: one of NVIDIA since Ampere, with a C compiler at hand."""
    if importlib.util.find_spec("triton") is None or torch.version.cuda is None:
        return False
    import triton  # pyright: ignore[reportMissingImports] - comes with PyTorch for CUDA alone

    if tuple(map(int, triton.__version__.split(".")[:2])) < OLDEST:
        return False
    if torch.cuda.get_device_capability(device) < FIRST_GPUS:
        return False
    try:  # what starts kernels is compiled in C: without a compiler or its headers, Triton raises one thing or another
        return triton.runtime.driver.active.utils is not None
    except Exception:
        return False
