"""First-layer weights along inputs of the training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from convexsnn.search.branches.population import Population
from convexsnn.search.oracles.protocol import Proposal, Situation, climbed


@dataclass(frozen=True)
class InputDirections:
    """First-layer weights along inputs of the training rows that pull hardest, and along differences of two."""

    name: ClassVar[str] = "inputs"

    def applies(self, situation: Situation) -> bool:
        """With two features or more; the direction of one says nothing."""
        return len(situation.variation.input_scale) > 1

    def propose(
        self,
        situation: Situation,
        effort: int,
        kept: Population | None,  # noqa: ARG002
        generator: torch.Generator,
    ) -> Proposal:
        """See `Oracle`."""
        variation, prefixes = situation.variation, situation.pricing.runner.prefixes
        start = variation.draw(situation.count, generator)
        inputs = torch.cat(list(prefixes.values))
        # A prefix pulls as hard as the rows that have it: those below it in the tree count too.
        pull = prefixes.pull(situation.pricing.U).norm(dim=1) + 1e-12
        shape = (situation.count, variation.width)
        first, second = (
            torch.multinomial(pull, situation.count * variation.width, replacement=True, generator=generator)
            for _ in range(2)
        )
        difference = torch.rand(shape, generator=generator) < 0.5
        direction = inputs[first] - difference.flatten().unsqueeze(1) * inputs[second]
        size = direction.norm(dim=1, keepdim=True).clamp(min=1e-12)
        # The length that a random direction has.
        direction = direction / size * variation.input_scale.norm()
        sign = torch.where(torch.rand(len(direction), 1, generator=generator) < 0.5, -1.0, 1.0)
        weight = (direction * sign).reshape(*shape, -1).transpose(1, 2).contiguous()
        return climbed(start.with_first_weight(weight), situation, effort, generator)
