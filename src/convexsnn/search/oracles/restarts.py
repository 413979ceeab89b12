"""Random branches that go on climbing from round to round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from convexsnn.search.branches.population import Population
from convexsnn.search.oracles.climb import choose
from convexsnn.search.oracles.protocol import Proposal, Situation, climbed

# Share of the branches that is begun anew in each round.
FRESH = 0.1


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
        """See `Oracle`."""
        fresh = situation.variation.draw(situation.count, generator)
        if kept is None or len(kept) != situation.count:
            return climbed(fresh, situation, effort, generator, keep=True)
        worth = situation.sample.scores(kept).amax(dim=1)
        worst = torch.zeros(len(kept), dtype=torch.bool)
        worst[worth.argsort(stable=True)[: int(FRESH * len(kept))]] = True
        return climbed(choose(worst, fresh, kept), situation, effort, generator, keep=True)
