"""Gaussian witnesses: hidden weights drawn at random, the paper's CVX method."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_choice
from convexsnn.network import Branch, Hidden, Layer
from convexsnn.witnesses.architecture import Architecture

Variant = Literal["standard", "normalized", "orthogonal"]
VARIANTS: tuple[str, ...] = get_args(Variant)


@isolated
def gaussian(architecture: Architecture, generator: torch.Generator, variant: Variant = "standard") -> Hidden:
    """Draw hidden weights.

    The order of the draws is the paper's: branch by branch, layer by layer, each weight of shape (in, out). A layer
    with recurrent weights draws them next, and one with biases draws those last. Draws are float32 numbers, so that a
    network means the same in float32 and float64 parameters.

    Parameters
    ----------
    architecture : Architecture
    generator : torch.Generator
        The source of random numbers, on the CPU. The call advances it. The same seed gives the same network on every
        device.
    variant : {"standard", "normalized", "orthogonal"}
        i.i.d. N(0, 1); the same with the incoming weights of every neuron scaled to norm 1; or incoming weights that
        are orthonormal (in groups of `in` neurons when there are more neurons than inputs).

    References
    ----------
    arXiv 2605.08022, gaussian witnesses.
    """
    check_choice("variant", variant, VARIANTS)
    if not isinstance(generator, torch.Generator):
        raise ValueError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    branches = []
    for k in range(architecture.branches):
        layers, n_in = [], architecture.n_features
        for m in architecture.layer_sizes(k):
            weight = _draw(n_in, m, generator, variant)
            recurrent = _draw(m, m, generator, variant) if architecture.recurrent else None
            bias = torch.randn(m, generator=generator) if architecture.bias else None
            layers.append(_layer(architecture, weight, recurrent, bias))
            n_in = m
        branches.append(Branch(tuple(layers)))
    return architecture.hidden_of(tuple(branches))


def _layer(architecture: Architecture, weight: Tensor, recurrent: Tensor | None, bias: Tensor | None) -> Layer:
    cast = lambda tensor: None if tensor is None else tensor.to(architecture.torch_dtype)  # noqa: E731
    neurons = architecture.neurons(weight.shape[1])
    return Layer(weight.to(architecture.torch_dtype), neurons, cast(recurrent), cast(bias))


def _draw(n_in: int, m: int, generator: torch.Generator, variant: Variant) -> Tensor:
    if variant == "orthogonal":
        groups = -(-m // n_in)
        blocks = [_orthonormal(n_in, min(n_in, m - g * n_in), generator) for g in range(groups)]
        return torch.cat(blocks, dim=1)
    weight = torch.randn(n_in, m, generator=generator)
    if variant == "normalized":
        weight = weight / weight.norm(dim=0, keepdim=True)
    return weight


def _orthonormal(n_in: int, m: int, generator: torch.Generator) -> Tensor:
    """`m` <= `n_in` orthonormal columns, Haar distributed (the signs of R's diagonal are made positive)."""
    q, r = torch.linalg.qr(torch.randn(n_in, m, generator=generator, dtype=torch.float64))
    return (q * torch.where(r.diagonal() < 0, -1.0, 1.0)).to(torch.float32)
