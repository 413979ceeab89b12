"""Whether there is a kernel for a population where it is."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from convexsnn.search.branches.fused.running import WIDEST
from convexsnn.search.branches.on_gpu.stretches import Stretch
from convexsnn.search.branches.population import Population

# The version of Triton with which the kernel was tried: that of torch 2.13.
OLDEST = (3, 9)
# Compute capability of the first GPUs that it is for: Ampere.
FIRST_GPUS = (8, 0)


class Walking(Protocol):
    """What runs populations by the kernel: the file `walking.py`."""

    def walked_sums(self, population: Population, stretches: tuple[Stretch, ...], counts: Tensor) -> Tensor:
        """Sums over what is seen of every last-layer neuron, (B, m, C), from counts of shape (nodes, C)."""
        ...

    def walked_patterns(
        self, population: Population, stretches: tuple[Stretch, ...], owner: Tensor, neuron: Tensor
    ) -> Tensor:
        """What is seen of chosen last-layer neurons after each prefix that is read: bool (P, nodes) on the CPU."""
        ...


def walking_for(population: Population, device: torch.device) -> Walking | None:
    """What runs a population on a device by the kernel; None where that does not run it.

    The kernel takes all that `Population` can be, on a GPU for which Triton compiles, in layers of at most 64 neurons.
    """
    if device.type != "cuda" or population.widest > WIDEST or not _compiles_for(device):
        return None
    from convexsnn.search.branches.on_gpu import walking

    return walking


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
