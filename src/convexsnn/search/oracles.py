"""Where candidates come from: several ways to begin, each followed by hill climbing on the exact score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from convexsnn.search.climb import choose, climb
from convexsnn.search.population import Population
from convexsnn.search.pricing import Pricing
from convexsnn.search.space import Space

# Share of the islands that `Restarts` begins anew in each round.
FRESH = 0.1


@dataclass(frozen=True, eq=False)
class Situation:
    """What an oracle may look at.

    Attributes
    ----------
    space : Space
    pricing : Pricing
    network : Population or None
        Searched branches whose columns carry weight now.
    count : int
        Branches to propose.
    """

    space: Space
    pricing: Pricing
    network: Population | None
    count: int


class Proposal(NamedTuple):
    """What an oracle found.

    Attributes
    ----------
    candidates : Population
    kept : Population or None
        To be given back to the oracle in the next round.
    simulated : int
        Branches that were run over all training rows on the way.
    """

    candidates: Population
    kept: Population | None
    simulated: int


class Oracle(Protocol):
    """A way to find neurons of a large score, in `effort` generations of hill climbing.

    All that it remembers is `kept`, and all chance is the generator's.
    """

    name: ClassVar[str]

    def applies(self, situation: Situation) -> bool: ...
    def propose(
        self, situation: Situation, effort: int, kept: Population | None, generator: torch.Generator
    ) -> Proposal: ...


def _climbed(
    start: Population, situation: Situation, effort: int, generator: torch.Generator, *, keep: bool = False
) -> Proposal:
    """What `effort` generations of hill climbing make of `start`."""
    population, _ = climb(start, situation.space, situation.pricing, effort, generator)
    return Proposal(population, population if keep else None, len(start) * (effort + 1))


@dataclass(frozen=True)
class Restarts:
    """Random branches that go on climbing from round to round, the worst of them begun anew."""

    name: ClassVar[str] = "restarts"

    def applies(self, situation: Situation) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def propose(
        self, situation: Situation, effort: int, kept: Population | None, generator: torch.Generator
    ) -> Proposal:
        """See the class."""
        fresh = situation.space.draw(situation.count, generator)
        if kept is None or len(kept) != situation.count:
            return _climbed(fresh, situation, effort, generator, keep=True)
        worth = situation.pricing.scores(kept).amax(dim=1)
        worst = torch.zeros(len(kept), dtype=torch.bool)
        worst[worth.argsort(stable=True)[: int(FRESH * len(kept))]] = True
        return _climbed(choose(worst, fresh, kept), situation, effort, generator, keep=True)


@dataclass(frozen=True)
class Refinement:
    """Branches of the network, varied: a column that nearly does what is needed, made to do it."""

    name: ClassVar[str] = "refinement"

    def applies(self, situation: Situation) -> bool:
        """When the network has searched branches."""
        return situation.network is not None

    def propose(
        self,
        situation: Situation,
        effort: int,
        kept: Population | None,  # noqa: ARG002
        generator: torch.Generator,
    ) -> Proposal:
        """See the class."""
        assert situation.network is not None
        source = _evenly(len(situation.network), situation.count, generator)
        return _climbed(situation.network.take(source), situation, effort, generator)


@dataclass(frozen=True)
class Crossing:
    """Neurons of two branches of the network in one, their last layers drawn anew in half of the cases."""

    name: ClassVar[str] = "crossing"

    def applies(self, situation: Situation) -> bool:
        """When the network has at least two searched branches."""
        return situation.network is not None and len(situation.network) > 1

    def propose(
        self,
        situation: Situation,
        effort: int,
        kept: Population | None,  # noqa: ARG002
        generator: torch.Generator,
    ) -> Proposal:
        """See the class."""
        assert situation.network is not None
        network, space, count = situation.network, situation.space, situation.count
        mothers, fathers = (network.take(_evenly(len(network), count, generator)) for _ in range(2))
        crossed = space.cross(mothers, fathers, generator)
        if len(crossed.layers) > 1:
            anew = space.draw(count, generator)
            grown = crossed.with_last(anew.layers[-1])
            crossed = choose(torch.rand(count, generator=generator) < 0.5, grown, crossed)
        return _climbed(crossed, situation, effort, generator)


@dataclass(frozen=True)
class Inputs:
    """First-layer weights along inputs of the training rows that pull hardest, and along differences of two."""

    name: ClassVar[str] = "inputs"

    def applies(self, situation: Situation) -> bool:
        """With two features or more; the direction of one says nothing."""
        return len(situation.space.input_scale) > 1

    def propose(
        self,
        situation: Situation,
        effort: int,
        kept: Population | None,  # noqa: ARG002
        generator: torch.Generator,
    ) -> Proposal:
        """See the class."""
        space, prefixes = situation.space, situation.pricing.prefixes
        start = space.draw(situation.count, generator)
        inputs = torch.cat(list(prefixes.values))
        # A prefix pulls as hard as the rows that have it: those below it in the tree count too.
        pull = prefixes.pull(situation.pricing.U).norm(dim=1) + 1e-12
        shape = (situation.count, space.width)
        first, second = (
            torch.multinomial(pull, situation.count * space.width, replacement=True, generator=generator)
            for _ in range(2)
        )
        difference = torch.rand(shape, generator=generator) < 0.5
        direction = inputs[first] - difference.flatten().unsqueeze(1) * inputs[second]
        size = direction.norm(dim=1, keepdim=True).clamp(min=1e-12)
        # The length that a random direction has.
        direction = direction / size * space.input_scale.norm()
        sign = torch.where(torch.rand(len(direction), 1, generator=generator) < 0.5, -1.0, 1.0)
        weight = (direction * sign).reshape(*shape, -1).transpose(1, 2).contiguous()
        return _climbed(start.with_first_weight(weight), situation, effort, generator)


def _evenly(available: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` indices below `available`, each as often as any other up to one, in random order."""
    repeats = -(-count // available)
    order = torch.cat([torch.randperm(available, generator=generator) for _ in range(repeats)])
    return order[:count]


ORACLES: dict[str, Oracle] = {oracle.name: oracle for oracle in (Restarts(), Refinement(), Crossing(), Inputs())}
