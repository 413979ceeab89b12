"""What an oracle is: a way to find neurons worth having, and what it may look at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from convexsnn.network import Hidden
from convexsnn.problem import Problem
from convexsnn.search.branches.population import Population
from convexsnn.search.branches.pricing import DualPricing
from convexsnn.search.branches.variation import Variation
from convexsnn.search.oracles.climb import Niches, climb
from convexsnn.search.settings import SearchSettings

# Of branches that climbed on some of the rows, the share that is then scored on all.
SURVIVORS = 0.25


@dataclass(frozen=True, eq=False)
class Situation:
    """What an oracle may look at.

    Attributes
    ----------
    problem : Problem
    settings : SearchSettings
    variation : Variation
        How branches are drawn, mutated and crossed.
    pricing : DualPricing
        What a column is worth now.
    sample : DualPricing
        About that, from some of the rows: what branches climb by.
    count : int
        Branches to propose.
    network : Population or None
        Searched branches whose columns carry weight now.
    branch : int
        Neuron steps of running one small branch over all training rows.
    left : float
        So many small branches may still be run over the training rows.
    round : int
        Number of the round.
    """

    problem: Problem
    settings: SearchSettings
    variation: Variation
    pricing: DualPricing
    sample: DualPricing
    count: int
    network: Population | None
    branch: int
    left: float
    round: int

    @property
    def share(self) -> float:
        """The share of all rows that is in the sample."""
        return len(self.sample.U) / len(self.pricing.U)

    def alone(self, name: str) -> bool:
        """Whether the oracle of this name is the only one."""
        return self.settings.oracles == (name,)


class Proposal(NamedTuple):
    """What an oracle found.

    Attributes
    ----------
    simulated : int
        Small branches that could be run over all training rows for what it cost.
    candidates : Population or None
        Small branches whose columns are then scored.
    hidden : Hidden or None
        Branches of any other shape whose columns are then scored.
    kept : Population or None
        To be given back to the oracle in the next round.
    """

    simulated: int
    candidates: Population | None = None
    hidden: Hidden | None = None
    kept: Population | None = None


class Oracle(Protocol):
    """A way to find neurons of a large score.

    All that it remembers is `Proposal.kept`, and all chance is the generator's.
    """

    name: ClassVar[str]

    def applies(self, situation: Situation) -> bool:
        """Whether this oracle has anything to propose now."""
        ...

    def propose(
        self, situation: Situation, effort: int, kept: Population | None, generator: torch.Generator
    ) -> Proposal | None:
        """Candidates for about the cost of `effort` generations of hill climbing; None where it sits this round out."""
        ...


def climbed(
    start: Population, situation: Situation, effort: int, generator: torch.Generator, *, keep: bool = False
) -> Proposal:
    """What `effort` generations of hill climbing make of `start`; where that is on some of the rows, the best of it.

    Branches climb where they are scored, and what has become of them is on the CPU.
    """
    device = situation.sample.runner.device
    climbing = (start.to(device), situation.variation, situation.sample, effort, _generator_on(device, generator))
    population, fitness = climb(*climbing)
    population, fitness = population.to(start.device), fitness.to(start.device)
    simulated, candidates = len(start) * (effort + 1), population
    if situation.share < 1.0:
        niches = Niches.of(situation.pricing.U.shape[1])
        candidates = population.take(niches.best(fitness, SURVIVORS))
        simulated = math.ceil(situation.share * simulated) + len(candidates)
    return Proposal(simulated, candidates, kept=population if keep else None)


def _generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """A generator on a device, whose chance is that of another: the same one where that is there."""
    if device.type == generator.device.type:
        return generator
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    return torch.Generator(device).manual_seed(int(seed))


def evenly(available: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` indices below `available`, each as often as any other up to one, in random order."""
    repeats = -(-count // available)
    order = torch.cat([torch.randperm(available, generator=generator) for _ in range(repeats)])
    return order[:count]
