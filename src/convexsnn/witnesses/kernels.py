"""Random dilated kernels: threshold neurons whose connections have delays (theory.md section 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_choice, check_integer
from convexsnn.network import DTYPES, Branch, Hidden, Layer
from convexsnn.neurons import Threshold
from convexsnn.readouts import Rate, Readout, Several, Windows
from convexsnn.sequences import Sequences

# Steps of training sequences at which the potentials are looked at, of which the biases are quantiles.
SHOWN = 1024
# Beyond these quantiles neurons are all but silent, or fire all the time.
LEAST_QUANTILE = 0.02
# A bias lies in the middle of the largest gap between potentials among so many on either side of its quantile.
NEIGHBOURS = 4


@dataclass(frozen=True)
class KernelShape:
    """How many kernels, of which shape, and how they are read.

    Attributes
    ----------
    neurons : int
        Kernels, one neuron each.
    length : int
        Taps of a kernel. Shorter sequences have kernels of as many taps as they have steps.
    windows : int
        The rate of a neuron is read over the whole sequence, and in each of so many windows where that is more than 1.
    dtype : {"float64", "float32"}
    """

    neurons: int = 2000
    length: int = 9
    windows: int = 4
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("neurons", "length", "windows"):
            check_integer(name, getattr(self, name))
        check_choice("dtype", self.dtype, DTYPES)

    def readout(self, steps: int) -> Readout:
        """What is read of the neurons on sequences of up to `steps` steps."""
        count = min(self.windows, steps)
        return Rate() if count == 1 else Several((Rate(), Windows(count, steps // count)))


@isolated
def kernels(
    sequences: Sequences, generator: torch.Generator, shape: KernelShape | None = None, *, every_step: bool = False
) -> Hidden:
    """Draw kernels for given sequences.

    A kernel has `length` taps, a dilation, and weights for some of the features. Dilations are drawn so that their
    logarithms are uniform, up to the largest with which a kernel fits into half of the sequences. Half of the kernels
    have weights from a normal distribution; the others have one weight, for a third of the taps, and another for the
    rest, so that their sum is zero (as those of MiniRocket). The bias of each neuron is a quantile of its own
    potentials on some of the sequences, so that every neuron fires at some steps and not at others.

    Features count in units of their standard deviation, which is part of the weights: input stays as it is.

    Parameters
    ----------
    sequences : Sequences
        Of training.
    generator : torch.Generator
        On the CPU; advanced by the call.
    shape : KernelShape, optional
    every_step : bool
        Read at every step.

    Returns
    -------
    Hidden
        One branch for each dilation, of one layer of threshold neurons.

    References
    ----------
    Dempster et al., "ROCKET", arXiv 1910.13051, and "MiniRocket", arXiv 2012.08791.
    """
    shape = shape or KernelShape()
    dtype, steps = DTYPES[shape.dtype], int(sequences.lengths.median())
    length = min(shape.length, steps)
    unit = _units(sequences)
    branches = []
    for dilation, m in _dilations(shape.neurons, length, steps, generator):
        weight = _weights(length, sequences.n_features, m, generator) / unit.unsqueeze(1)
        delays = tuple(dilation * k for k in range(length))
        layer = Layer(weight.flatten(end_dim=1).to(dtype), Threshold(), delays=delays)
        bias = -_quantiles(layer, sequences, generator)
        branches.append(Branch((Layer(layer.weight, layer.neuron, None, bias, delays),)))
    return Hidden(sequences.n_features, tuple(branches), shape.readout(sequences.n_steps), every_step, dtype)


def _dilations(neurons: int, length: int, steps: int, generator: torch.Generator) -> list[tuple[int, int]]:
    """Dilations in ascending order, and how many neurons have each."""
    largest = max(1.0, (steps - 1) / max(1, length - 1))
    drawn = (math.log(largest) * torch.rand(neurons, generator=generator)).exp().floor().to(torch.int64)
    values, counts = torch.unique(drawn, return_counts=True)
    return list(zip(values.tolist(), counts.tolist(), strict=True))


def _weights(length: int, d: int, m: int, generator: torch.Generator) -> Tensor:
    """Weights of shape (length, d, m)."""
    normal = torch.randn(length, d, m, generator=generator, dtype=torch.float64)
    order = torch.rand(length, m, generator=generator).argsort(dim=0)
    large = max(1, round(length / 3))
    two = torch.where(order < large, (length - large) / large, -1.0).to(torch.float64).unsqueeze(1)
    plain = torch.rand(m, generator=generator) < 0.5
    weight = torch.where(plain, two.expand(length, d, m), normal)
    # As many features as a number whose logarithm is uniform.
    seen = torch.exp(math.log(d + 1) * torch.rand(m, generator=generator)).floor().clamp(max=d)
    rank = torch.rand(d, m, generator=generator).argsort(dim=0).argsort(dim=0)
    return weight * (rank < seen)


def _units(sequences: Sequences) -> Tensor:
    """The standard deviation of each feature over all steps, float64 (d,); 1 for a constant one."""
    shown = torch.arange(sequences.n_steps, device=sequences.lengths.device) < sequences.lengths.unsqueeze(1)
    deviation = sequences.values[shown].to(torch.float64).std(dim=0, correction=0).cpu()
    return torch.where(deviation > 0.0, deviation, 1.0)


def _quantiles(layer: Layer, sequences: Sequences, generator: torch.Generator) -> Tensor:
    """A quantile of each neuron's potentials at some steps of the sequences, at a level drawn for it.

    It lies between two potentials and not on one, so that rounding decides no spike.
    """
    ordered = (_seen(layer, sequences, generator) @ layer.weight).T.sort(dim=1).values
    gaps, last = ordered.diff(dim=1), ordered.shape[1] - 2
    level = LEAST_QUANTILE + (1.0 - 2.0 * LEAST_QUANTILE) * torch.rand(layer.m, 1, generator=generator)
    near = (level * last).round().to(torch.int64) + torch.arange(-NEIGHBOURS, NEIGHBOURS + 1)
    near = near.clamp(min=0, max=last)
    at = near.gather(1, gaps.gather(1, near).argmax(dim=1, keepdim=True))
    return (0.5 * (ordered.gather(1, at) + ordered.gather(1, at + 1))).squeeze(1)


def _seen(layer: Layer, sequences: Sequences, generator: torch.Generator) -> Tensor:
    """What the layer sees at some steps of the sequences, (at most SHOWN, len(delays) * d)."""
    steps = sequences.lengths.sum().item()
    drawn = torch.randperm(int(steps), generator=generator)[:SHOWN].to(sequences.lengths.device)
    ends = sequences.lengths.cumsum(dim=0)
    row = torch.searchsorted(ends, drawn, right=True)
    t = drawn - (ends - sequences.lengths)[row]
    parts = []
    for delay in layer.delays:
        before = sequences.values[row, (t - delay).clamp(min=0)]
        parts.append(torch.where((t >= delay).unsqueeze(1), before, 0.0))
    return torch.cat(parts, dim=1).to("cpu", layer.weight.dtype)
