"""Which branches the search looks at: how they are drawn, varied and crossed, many at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from convexsnn.neurons.lif import dyadic
from convexsnn.prefixes import Prefixes
from convexsnn.search.branches.fused.chance import vary
from convexsnn.search.branches.on_gpu.chance import varied_at_once
from convexsnn.search.branches.population import Population, StackedLayer
from convexsnn.witnesses.architecture import Architecture

# Free leaks: some neurons forget all at once, some nothing, the others from 1 % to all of it at every step.
LEAK_ZERO, LEAK_ONE, LEAST_FORGOTTEN = 0.2, 0.2, 0.01
# A mutation changes each number with a probability, by a step in units of its scale; both are drawn for each branch,
# evenly on a logarithmic axis. So there are always branches changed a little and branches changed a lot.
RATES, STEPS = (0.01, 0.5), (0.02, 2.0)
# Share of neurons whose incoming weights are drawn anew as a whole.
NEURONS_REDRAWN = 0.03


@dataclass(frozen=True, eq=False)
class Variation:
    """Branches of one shape, with the settings of their neurons. They are made on the generator's device.

    Attributes
    ----------
    architecture : Architecture
        Neuron, reset, threshold, recurrence, bias, readout and depth; its numbers of neurons and branches are not used.
    width : int
        Neurons of every layer of a branch.
    input_scale : float tensor of shape (d,)
        Standard deviation of first-layer weights; see `input_scale`.
    free_leak : bool
        Whether there are leaks, and one is searched for each neuron, instead of the architecture's.
    dyadic_leaks : bool
        Whether these are 1 - 2**-k only (`neurons.lif.dyadic`).
    """

    architecture: Architecture
    width: int
    input_scale: Tensor
    free_leak: bool
    dyadic_leaks: bool = False

    def draw(self, count: int, generator: torch.Generator) -> Population:
        """`count` random branches in float32, as the family gaussian has them, in units of the input's size."""
        layers, scale = [], self.input_scale.to(generator.device)
        for _ in range(self.architecture.depth - 1):
            weight = _normal((count, len(scale), self.width), generator) * scale.unsqueeze(1)
            recurrent = _normal((count, self.width, self.width), generator) if self.architecture.recurrent else None
            bias = self._bias(count, generator) if self.architecture.bias else None
            leak, threshold = self._leak(count, generator), self._threshold(count, generator)
            layers.append(StackedLayer(weight, recurrent, bias, leak, threshold))
            scale = torch.ones(self.width, device=generator.device)
        a = self.architecture
        return Population(tuple(layers), a.neuron, a.reset if a.neuron == "lif" else "none", a.read_by)

    def mutate(self, parents: Population, generator: torch.Generator) -> Population:
        """One child of each branch."""
        count = len(parents)
        rate, step = (_log_uniform(count, bounds, generator) for bounds in (RATES, STEPS))
        layers, scale, ones = [], self.input_scale.to(generator.device), partial(torch.ones, device=generator.device)
        changed = _changed if generator.device.type == "cpu" else varied_at_once
        for layer in parents.layers:

            def change(numbers: Tensor, unit: Tensor, anew: float = 0.0) -> Tensor:
                return changed(numbers, unit, (rate, step), anew, generator)

            leak = layer.leak
            if self.free_leak:
                chosen = _uniform(leak.shape, generator) < rate.unsqueeze(1)
                leak = torch.where(chosen, self._leak(count, generator), leak)
            layers.append(
                StackedLayer(
                    change(layer.weight, scale, NEURONS_REDRAWN),
                    None if layer.recurrent is None else change(layer.recurrent, ones(self.width)),
                    None if layer.bias is None else change(layer.bias.unsqueeze(1), ones(1)).squeeze(1),
                    leak,
                    layer.threshold,
                )
            )
            scale = ones(self.width)
        return replace(parents, layers=tuple(layers))

    def cross(self, mothers: Population, fathers: Population, generator: torch.Generator) -> Population:
        """Branches with each neuron from one of two parents, with its weights from that parent's neurons.

        Between neurons of different parents there is no connection, so that what a neuron did it goes on doing as far
        as it depends on neurons of its own kind; mutation may then connect the two.
        """
        count, layers, below = len(mothers), [], None
        for mother, father in zip(mothers.layers, fathers.layers, strict=True):
            chosen = _uniform((count, self.width), generator) < 0.5

            def of_neuron(a: Tensor, b: Tensor, chosen: Tensor = chosen) -> Tensor:
                return torch.where(chosen, a, b)

            def between(a: Tensor, b: Tensor, source: Tensor | None, chosen: Tensor = chosen) -> Tensor:
                to = chosen.unsqueeze(1)
                picked = torch.where(to, a, b)
                return picked if source is None else picked * (source.unsqueeze(2) == to)

            layers.append(
                StackedLayer(
                    between(mother.weight, father.weight, below),
                    None if mother.recurrent is None else between(mother.recurrent, father.recurrent, chosen),  # type: ignore[arg-type]
                    None if mother.bias is None else of_neuron(mother.bias, father.bias),  # type: ignore[arg-type]
                    of_neuron(mother.leak, father.leak),
                    mother.threshold,
                )
            )
            below = chosen
        return replace(mothers, layers=tuple(layers))

    def _leak(self, count: int, generator: torch.Generator) -> Tensor:
        shape = (count, self.width)
        if self.architecture.neuron == "threshold":
            return torch.zeros(shape, device=generator.device)
        if not self.free_leak:
            return torch.full(shape, self.architecture.leak, device=generator.device)
        kind, share = _uniform(shape, generator), _uniform(shape, generator)
        leak = 1.0 - torch.exp(math.log(LEAST_FORGOTTEN) * share)
        leak = torch.where(kind < LEAK_ZERO, 0.0, torch.where(kind < LEAK_ZERO + LEAK_ONE, 1.0, leak))
        return dyadic(leak) if self.dyadic_leaks else leak

    def _threshold(self, count: int, generator: torch.Generator) -> Tensor:
        lif = self.architecture.neuron == "lif"
        value = self.architecture.threshold if lif else 0.0
        return torch.full((count, self.width), value, device=generator.device)

    def _bias(self, count: int, generator: torch.Generator) -> Tensor:
        """Half of the neurons begin without one."""
        bias = _normal((count, self.width), generator)
        return bias * (_uniform(bias.shape, generator) < 0.5)


def input_scale(prefixes: Prefixes, threshold: float) -> Tensor:
    """Standard deviations of first-layer weights that drive a neuron about to its threshold at every step.

    Each feature counts in units of its own root mean square, as far as that is not much smaller than the others'.
    """
    squares = prefixes.mean_squares()
    rms = squares.sqrt()
    floor = 0.5 * float(squares.mean().sqrt())
    unit = abs(threshold) if threshold != 0.0 else 1.0
    return (unit / (rms.clamp(min=max(floor, 1e-12)) * math.sqrt(len(squares)))).to(torch.float32)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _log_uniform(count: int, bounds: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = map(math.log, bounds)
    return torch.exp(low + (high - low) * _uniform((count,), generator))


def _changed(
    numbers: Tensor, unit: Tensor, chance: tuple[Tensor, Tensor], anew: float, generator: torch.Generator
) -> Tensor:
    """Numbers (B, n_in, m) with some of them changed: see `vary`; `chance` is the rate and the step of each branch."""
    changed, (rate, step) = numbers.clone(memory_format=torch.contiguous_format), chance
    seed = torch.randint(2**62, (len(numbers),), generator=generator).numpy().astype(np.uint64)
    vary(changed.numpy(), unit.numpy(), rate.numpy(), step.numpy(), anew, seed)
    return changed
