"""Hill climbing by mutation on the exact score, in many branches at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.search.branches.population import Population, StackedLayer
from convexsnn.search.branches.pricing import DualPricing
from convexsnn.search.branches.variation import Variation

# Every so many generations the worst of each niche go on from copies of its best; what share of them.
TOURNAMENT_EVERY, TOURNAMENT_SHARE = 5, 0.1


@dataclass(frozen=True, eq=False)
class Niches:
    """What each branch of a population is bred for, so that they do not all become the same column.

    Branch b belongs to niche b mod `number`. Niche 0 breeds for the score, and niche c > 0 for |d^T U| of output c - 1.
    With one output these are the same, and there is one niche.

    Attributes
    ----------
    number : int
    """

    number: int

    @classmethod
    def of(cls, n_outputs: int) -> Niches:
        """Niches for so many outputs."""
        return cls(1 if n_outputs == 1 else 1 + n_outputs)

    def fitness(self, population: Population, pricing: DualPricing) -> Tensor:
        """What the best neuron of each branch is worth in its niche; shape (B,)."""
        correlations = pricing.correlations(population)
        worth = pricing.norms(correlations)
        if self.number > 1:
            branch = torch.arange(len(population), device=population.device)
            niche = branch % self.number
            output = correlations.abs()[branch, :, (niche - 1).clamp(min=0)]
            worth = torch.where((niche == 0).unsqueeze(1), worth, output)
        return worth.amax(dim=1)

    def best(self, fitness: Tensor, share: float) -> Tensor:
        """The best of each niche, this share of it; int64 tensor of their numbers."""
        source = torch.arange(len(fitness), device=fitness.device)
        members = [source[k :: self.number] for k in range(min(self.number, len(fitness)))]
        orders = [own[fitness[own].argsort(descending=True, stable=True)] for own in members]
        return torch.cat([order[: max(1, round(share * len(order)))] for order in orders])

    def tournament(self, fitness: Tensor) -> Tensor:
        """Where each branch goes on from, (B,): the worst of a niche from its best, the others from themselves."""
        source = torch.arange(len(fitness), device=fitness.device)
        for k in range(self.number):
            members = source[k :: self.number]
            order = members[fitness[members].argsort(stable=True)]
            count = int(TOURNAMENT_SHARE * len(order) + 0.5)
            if count:
                source = source.scatter(0, order[:count], order[len(order) - count :])
        return source


def climb(
    start: Population, variation: Variation, pricing: DualPricing, generations: int, generator: torch.Generator
) -> tuple[Population, Tensor]:
    """Replace each branch by a mutated child wherever that is worth as much, `generations` times.

    Returns
    -------
    Population
    fitness : float tensor of shape (B,)
        What each is worth in its niche (`Niches`).
    """
    niches = Niches.of(pricing.U.shape[1])
    population, fitness = start, niches.fitness(start, pricing)
    for generation in range(1, generations + 1):
        children = variation.mutate(population, generator)
        worth = niches.fitness(children, pricing)
        better = worth >= fitness
        population, fitness = choose(better, children, population), torch.where(better, worth, fitness)
        if generation % TOURNAMENT_EVERY == 0:
            source = niches.tournament(fitness)
            population, fitness = population.take(source), fitness[source]
    return population, fitness


def choose(mask: Tensor, yes: Population, no: Population) -> Population:
    """Branch by branch, from `yes` where `mask` (B,) says so, else from `no`."""

    def pick(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return None if a is None or b is None else torch.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    names = StackedLayer.__dataclass_fields__
    layers = tuple(
        StackedLayer(**{name: pick(getattr(a, name), getattr(b, name)) for name in names})  # type: ignore[arg-type]
        for a, b in zip(yes.layers, no.layers, strict=True)
    )
    return replace(yes, layers=layers)
