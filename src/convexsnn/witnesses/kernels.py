"""Random dilated kernels: threshold neurons whose connections have delays (theory.md section 7)."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_choice, check_integer
from convexsnn.network import DTYPES, Branch, Hidden, Layer, delayed
from convexsnn.neurons import Threshold
from convexsnn.readouts import Readout, Several, Windows, as_readout
from convexsnn.sequences import Sequences

# What may be read of a kernel: over time, at the step that is read, and its weighted sum there.
READS = ("rate", "count", "spike", "analog")
# So many dilations at most of each length: neurons of the same delays are run together.
DILATIONS = 16
# The bias of a neuron is made for so many training sequences, drawn for each group of so many neurons.
SHOWN, GROUP = 4, 64
# Potentials are measured on so many sequences.
SCALED_ON = 500
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
    lengths : tuple of int
        Taps of a kernel, at least 1: as many kernels of each length. A kernel has at most as many taps as half of the
        sequences have steps.
    readouts : tuple of str
        What is read of each neuron, one or several of `READS`.
    windows : tuple of int
        The rate of a neuron is also read in each of so many windows, for each of these numbers.
    dtype : {"float64", "float32"}
    """

    neurons: int = 5000
    lengths: tuple[int, ...] = (3, 5, 9)
    readouts: tuple[str, ...] = ("rate",)
    windows: tuple[int, ...] = ()
    dtype: str = "float64"

    def __post_init__(self) -> None:
        check_integer("neurons", self.neurons)
        object.__setattr__(self, "lengths", tuple(check_integer("lengths", length) for length in self.lengths))
        object.__setattr__(self, "windows", tuple(check_integer("windows", k, minimum=2) for k in self.windows))
        if not self.lengths:
            raise ValueError("lengths must hold at least one number of taps")
        object.__setattr__(self, "readouts", tuple(check_choice("readouts", name, READS) for name in self.readouts))
        if not self.readouts:
            raise ValueError(f"readouts must hold at least one of {', '.join(READS)}")
        for name in ("windows", "readouts"):
            own = getattr(self, name)
            if len(set(own)) < len(own):
                raise ValueError(f"{name} must hold every entry once, got {own}")
        check_choice("dtype", self.dtype, DTYPES)

    @property
    def parts(self) -> int:
        """Columns of a neuron, where sequences have as many steps as there are windows."""
        return len(self.readouts) + sum(self.windows)

    def readout(self, steps: int) -> Readout:
        """What is read of the neurons on sequences of up to `steps` steps."""
        windows = [Windows(count, steps // count) for count in self.windows if count <= steps]
        own = [*map(as_readout, self.readouts), *windows]
        return Several(tuple(own)) if len(own) > 1 else own[0]


@isolated
def kernels(
    sequences: Sequences, generator: torch.Generator, shape: KernelShape | None = None, *, every_step: bool = False
) -> Hidden:
    """Draw kernels for given sequences.

    A kernel has a length, a dilation, and weights for some of the features. For half of the kernels these features are
    neighbours, as those of rows of an image or of a spectrum belong together. Dilations are drawn so that their
    logarithms are uniform, up to the largest with which a kernel fits into half of the sequences. Half of the kernels
    have weights from a normal distribution; the others have one weight, for a third of the taps, and another for the
    rest, so that their sum is zero (as those of MiniRocket). Half of the kernels see the input, the others how it
    differs from the step before: these have taps at two neighbouring steps each. The bias of each neuron is a quantile
    of its own potentials on some of the sequences, so that it fires at some steps and not at others.

    Features count in units of their standard deviation, which is part of the weights: input stays as it is.

    Parameters
    ----------
    sequences : Sequences
        The training sequences.
    generator : torch.Generator
        The source of random numbers, on the CPU. The call advances it.
    shape : KernelShape, optional
    every_step : bool
        The network is read at every step.

    Returns
    -------
    Hidden
        One branch for each set of delays, of one layer of threshold neurons.

    References
    ----------
    Dempster et al., "ROCKET", arXiv 1910.13051, and "MiniRocket", arXiv 2012.08791.
    """
    shape = shape or KernelShape()
    dtype, steps = DTYPES[shape.dtype], int(sequences.lengths.median())
    unit = units(sequences)
    branches = []
    for (length, dilation, differs), m in _kinds(shape, steps, generator):
        weight, delays = _weights(length, sequences.n_features, m, generator), _taps(length, dilation)
        if differs:
            weight, delays = _of_differences(weight, delays)
        weight = (weight / unit.unsqueeze(1)).flatten(end_dim=1).to(dtype)
        bias = -_thresholds(Layer(weight, Threshold(), delays=delays), sequences, generator)
        branches.append(Branch((Layer(weight, Threshold(), None, bias, delays),)))
    return Hidden(sequences.n_features, tuple(branches), shape.readout(sequences.n_steps), every_step, dtype)


def with_unit_potentials(hidden: Hidden, sequences: Sequences) -> Hidden:
    """The same kernels, scaled so that each neuron's potentials have standard deviation 1 on some of the sequences.

    Scaling weights and bias of a threshold neuron by one positive number changes no spike.
    """
    some = next(sequences.chunks(SCALED_ON)).to(hidden.device, hidden.dtype)
    branches = []
    for branch in hidden.branches:
        layer = branch.last
        potentials = delayed(some.values, layer.delays, time=1)[some.shown] @ layer.weight
        deviation = potentials.std(dim=0, correction=0)
        deviation = torch.where(deviation > 0.0, deviation, 1.0)
        bias = None if layer.bias is None else layer.bias / deviation
        branches.append(Branch((replace(layer, weight=layer.weight / deviation, bias=bias),)))
    return replace(hidden, branches=tuple(branches))


Kind = tuple[int, int, bool]
"""Length and dilation of a kernel, and whether it sees differences."""


def _kinds(shape: KernelShape, steps: int, generator: torch.Generator) -> list[tuple[Kind, int]]:
    """The kinds of kernels that were drawn, in order, and how many neurons are of each."""
    places = torch.randint(DILATIONS, (shape.neurons,), generator=generator).tolist()
    differing = (torch.rand(shape.neurons, generator=generator) < 0.5).tolist()
    drawn: Counter[Kind] = Counter()
    for i, (place, differs) in enumerate(zip(places, differing, strict=True)):
        length = min(shape.lengths[i % len(shape.lengths)], steps)
        largest = max(1.0, (steps - 1) / max(1, length - 1))
        drawn[length, int(largest ** (place / (DILATIONS - 1))), differs and steps > 1] += 1
    return sorted(drawn.items())


def _taps(length: int, dilation: int) -> tuple[int, ...]:
    return tuple(dilation * k for k in range(length))


def _of_differences(weight: Tensor, delays: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """The kernels (length, d, m) of what the input differs from the step before, as kernels of the input itself."""
    all_delays = tuple(sorted({*delays, *(delay + 1 for delay in delays)}))
    spread = weight.new_zeros(len(all_delays), *weight.shape[1:])
    for own, delay in zip(weight, delays, strict=True):
        spread[all_delays.index(delay)] += own
        spread[all_delays.index(delay + 1)] -= own
    return spread, all_delays


def _weights(length: int, d: int, m: int, generator: torch.Generator) -> Tensor:
    """Weights of shape (length, d, m)."""
    normal = torch.randn(length, d, m, generator=generator, dtype=torch.float64)
    order = torch.rand(length, m, generator=generator).argsort(dim=0)
    large = max(1, round(length / 3))
    two = torch.where(order < large, (length - large) / large, -1.0).to(torch.float64).unsqueeze(1)
    plain = (torch.rand(m, generator=generator) < 0.5) & (length > 1)  # one tap alone would have weight zero
    weight = torch.where(plain, two.expand(length, d, m), normal)
    return weight * _seen(d, m, generator)


def _seen(d: int, m: int, generator: torch.Generator) -> Tensor:
    """Which of `d` features each of `m` kernels sees, bool (d, m): any, or for half of them a run of neighbours.

    They are as many as a number whose logarithm is uniform.
    """
    many = torch.exp(math.log(d + 1) * torch.rand(m, generator=generator)).floor().clamp(max=d)
    rank = torch.rand(d, m, generator=generator).argsort(dim=0).argsort(dim=0)
    first = (torch.rand(m, generator=generator) * (d - many + 1)).floor()
    place = torch.arange(d).unsqueeze(1) - first
    neighbours = torch.rand(m, generator=generator) < 0.5
    return torch.where(neighbours, (place >= 0) & (place < many), rank < many)


def units(sequences: Sequences) -> Tensor:
    """The standard deviation of each feature over all steps, float64 (d,); 1 for a constant one."""
    deviation = sequences.values[sequences.shown].to(torch.float64).std(dim=0, correction=0).cpu()
    return torch.where(deviation > 0.0, deviation, 1.0)


def _thresholds(layer: Layer, sequences: Sequences, generator: torch.Generator) -> Tensor:
    """A quantile of each neuron's potentials on some of the sequences, at a level drawn for it: (m,).

    It lies between two potentials and not on one, so that rounding decides no spike.
    """
    found = []
    for weight in layer.weight.split(GROUP, dim=1):
        chosen = torch.randperm(len(sequences), generator=generator)[:SHOWN].to(sequences.lengths.device)
        some = sequences.take(chosen).to("cpu", layer.weight.dtype)
        potentials = delayed(some.values, layer.delays, time=1)[some.shown] @ weight
        found.append(between(potentials.T.sort(dim=1).values, torch.rand(weight.shape[1], 1, generator=generator)))
    return torch.cat(found)


def between(ordered: Tensor, level: Tensor) -> Tensor:
    """A number (m,) between two neighbours in each row of ordered numbers (m, r), near the quantile `level` (m, 1)."""
    if ordered.shape[1] == 1:
        return ordered[:, 0]
    gaps, last = ordered.diff(dim=1), ordered.shape[1] - 2
    level = LEAST_QUANTILE + (1.0 - 2.0 * LEAST_QUANTILE) * level
    near = (level * last).round().to(torch.int64) + torch.arange(-NEIGHBOURS, NEIGHBOURS + 1)
    near = near.clamp(min=0, max=last)
    at = near.gather(1, gaps.gather(1, near).argmax(dim=1, keepdim=True))
    return (0.5 * (ordered.gather(1, at) + ordered.gather(1, at + 1))).squeeze(1)
