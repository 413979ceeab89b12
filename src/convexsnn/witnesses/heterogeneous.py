"""Heterogeneous gaussian witnesses: every neuron has a leak, a threshold, a gain and a bias of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_range, check_real
from convexsnn.network import Branch, Hidden, Layer
from convexsnn.neurons import LIF, Threshold
from convexsnn.neurons.lif import dyadic
from convexsnn.witnesses.architecture import Architecture
from convexsnn.witnesses.gaussian import gaussian

Range = tuple[float, float]


@dataclass(frozen=True)
class Heterogeneity:
    """From where each neuron's own settings are drawn; a range is log-uniform, and of one value where its ends meet.

    Attributes
    ----------
    memory : (float, float)
        Time constant tau of the membrane, in steps, > 0: leak = exp(-1 / tau). The default reaches from neurons that
        forget within a step to neurons that keep a hundred.
    threshold : (float, float)
        Thresholds are drawn from this range, more than 0.
    gain : (float, float)
        Factor on all incoming weights, recurrent ones included, > 0.
    bias : float
        Standard deviation of a gaussian bias, before the gain; 0 for none, apart from those of the architecture.
    dyadic : bool
        The leak is the nearest of 0, 1/2, 3/4, 7/8 and so on to 127/128.
    """

    memory: Range = (0.5, 100.0)
    threshold: Range = (0.5, 2.0)
    gain: Range = (0.1, 1.0)
    bias: float = 1.0
    dyadic: bool = False

    def __post_init__(self) -> None:
        for name in ("memory", "threshold", "gain"):
            check_range(name, getattr(self, name))
        check_real("bias", self.bias, 0.0)


@isolated
def heterogeneous(
    architecture: Architecture, generator: torch.Generator, heterogeneity: Heterogeneity | None = None
) -> Hidden:
    """Draw gaussian witnesses, then each neuron's own settings.

    Parameters
    ----------
    architecture : Architecture
        Its leak and threshold are not used.
    generator : torch.Generator
        The source of random numbers, on the CPU. The call advances it.
    heterogeneity : Heterogeneity, optional
    """
    return diversify(gaussian(architecture, generator), generator, heterogeneity)


@isolated
def diversify(hidden: Hidden, generator: torch.Generator, heterogeneity: Heterogeneity | None = None) -> Hidden:
    """`hidden` with every neuron's leak and threshold replaced, its weights scaled and a bias added, all drawn.

    Threshold units have neither leak nor threshold and keep to gain and bias. Draws are made layer by layer: leaks,
    thresholds, gains, biases.

    Parameters
    ----------
    hidden : Hidden
        Hidden layers, such as the start of surrogate-gradient training.
    generator : torch.Generator
        The source of random numbers, on the CPU. The call advances it.
    heterogeneity : Heterogeneity, optional

    Raises
    ------
    ValueError
        When the kind of neurons is another.
    """
    chosen = heterogeneity or Heterogeneity()
    branches = [
        Branch(tuple(_diversify(layer, generator, chosen) for layer in branch.layers), branch.readout_bias)
        for branch in hidden.branches
    ]
    return replace(hidden, branches=tuple(branches))


def _diversify(layer: Layer, generator: torch.Generator, chosen: Heterogeneity) -> Layer:
    like = lambda tensor: tensor.to(layer.weight)  # noqa: E731
    memory, threshold, gain = (
        like(_log_uniform(ends, layer.m, generator)) for ends in (chosen.memory, chosen.threshold, chosen.gain)
    )
    bias = layer.bias
    if chosen.bias > 0.0:
        drawn = like(torch.randn(layer.m, generator=generator)) * chosen.bias
        bias = drawn if bias is None else bias + drawn
    match layer.neuron:
        case LIF(reset=reset):
            leak = torch.exp(-1.0 / memory)
            neuron = LIF(dyadic(leak) if chosen.dyadic else leak, threshold, reset)
        case Threshold():
            neuron = layer.neuron
        case other:
            raise ValueError(f"hidden must be of LIF neurons or threshold units, not of kind {other.name!r}")
    recurrent = None if layer.recurrent is None else layer.recurrent * gain
    scaled = None if bias is None else bias * gain
    return replace(layer, weight=layer.weight * gain, neuron=neuron, recurrent=recurrent, bias=scaled)


def _log_uniform(ends: Range, m: int, generator: torch.Generator) -> Tensor:
    low, high = (math.log(end) for end in ends)
    return torch.exp(low + (high - low) * torch.rand(m, generator=generator))
