"""Neurons of two branches of the network in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from convexsnn.search.branches.population import Population
from convexsnn.search.oracles.climb import choose
from convexsnn.search.oracles.protocol import Proposal, Situation, climbed, evenly


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
        """See `Oracle`."""
        assert situation.network is not None
        network, variation, count = situation.network, situation.variation, situation.count
        mothers, fathers = (network.take(evenly(len(network), count, generator)) for _ in range(2))
        crossed = variation.cross(mothers, fathers, generator)
        if len(crossed.layers) > 1:
            anew = variation.draw(count, generator)
            grown = crossed.with_last(anew.layers[-1])
            crossed = choose(torch.rand(count, generator=generator) < 0.5, grown, crossed)
        return climbed(crossed, situation, effort, generator)
