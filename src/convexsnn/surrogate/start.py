"""Where surrogate-gradient training begins: small random weights, unlike the gaussian witnesses'."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.network import Branch, Layer, Network
from convexsnn.witnesses.architecture import Architecture


@isolated
def initial_network(
    architecture: Architecture,
    n_outputs: int,
    generator: torch.Generator,
    gain: float = 1.0,
    delays: Sequence[tuple[int, ...]] = (),
) -> Network:
    """A network whose weights are uniform on +-gain / sqrt(fan in), those of torch's linear layers for gain 1.

    Recurrent weights and biases, where the architecture has them, are drawn alike. Draws are float32, branch by branch,
    layer by layer (weight, recurrent, bias), the output weights last.

    Parameters
    ----------
    architecture : Architecture
    n_outputs : int
        The number C of outputs.
    generator : torch.Generator
        The source of random numbers, on the CPU.
    gain : float
    delays : sequence of tuple of int
        The delays of the first layer of each branch; without them there are none.
    """
    dtype, branches = architecture.torch_dtype, []
    for k in range(architecture.branches):
        layers, own = [], delays[k] if delays else (0,)
        n_in = architecture.n_features * len(own)
        for m in architecture.layer_sizes(k):
            weight = _uniform((n_in, m), n_in, gain, generator).to(dtype)
            recurrent = _uniform((m, m), m, gain, generator).to(dtype) if architecture.recurrent else None
            bias = _uniform((m,), n_in, gain, generator).to(dtype) if architecture.bias else None
            layers.append(Layer(weight, architecture.neurons(m), recurrent, bias, own))
            n_in, own = m, (0,)
        branches.append(Branch(tuple(layers)))
    hidden = architecture.hidden_of(tuple(branches))
    return Network(hidden, _uniform((hidden.n_last, n_outputs), hidden.n_last, 1.0, generator).to(torch.float64))


def _uniform(shape: tuple[int, ...], fan_in: int, gain: float, generator: torch.Generator) -> Tensor:
    return (2.0 * torch.rand(shape, generator=generator) - 1.0) * (gain / math.sqrt(fan_in))
