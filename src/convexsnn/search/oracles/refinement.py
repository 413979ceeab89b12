"""Branches of the network, varied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from convexsnn.search.branches.population import Population
from convexsnn.search.oracles.protocol import Proposal, Situation, climbed, evenly


@dataclass(frozen=True)
class Refinement:
    """Branches of the network, varied: a column that nearly does what is needed is made to do it."""

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
        """See `Oracle`."""
        assert situation.network is not None
        source = evenly(len(situation.network), situation.count, generator)
        return climbed(situation.network.take(source), situation, effort, generator)
