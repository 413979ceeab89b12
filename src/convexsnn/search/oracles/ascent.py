"""The oracle that trains a whole branch by surrogate gradients; its columns are scored on true spikes like the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from convexsnn.network import Network
from convexsnn.search.branches.population import Population
from convexsnn.search.oracles.protocol import Proposal, Situation
from convexsnn.search.settings import SearchSettings
from convexsnn.surrogate import SurrogateSettings, initial_network, train_surrogate
from convexsnn.witnesses.heterogeneous import Heterogeneity, diversify

BATCH = 64
# At least so many steps, in at least so many passes over the training sequences; and at most MOST times as many.
STEPS, EPOCHS, MOST = 4000, 10, 2
# Adam's steps are as long for every weight: a sum of fewer weights bears longer ones. At so many neurons it is RATE.
RATE, RATE_BLOCK, MOST_RATE = 2e-3, 512, 1e-2
# A step of a neuron in training takes about as long as so many in scoring, and one more for so many inputs.
PASSES, INPUTS_A_STEP = 30, 9
# Alone, a call may spend this share of what is left of the effort.
SHARE_ALONE = 0.25
# Steps over which free leaks remember at first.
MEMORY = (1.0, 30.0)


@dataclass(frozen=True)
class Ascent:
    """Branches of `block` neurons a layer, trained from scratch on the program's own objective.

    Dropout keeps one branch's columns from leaning on each other, and every call draws anew: so columns of several
    calls err differently, and the convex program has something to choose from.
    """

    name: ClassVar[str] = "ascent"

    def applies(self, situation: Situation) -> bool:
        """When the effort that is left is enough for the least training."""
        return situation.alone(self.name) or least_cost(situation) <= situation.left

    def propose(
        self,
        situation: Situation,
        effort: int,
        kept: Population | None,  # noqa: ARG002
        generator: torch.Generator,
    ) -> Proposal | None:
        """See `Oracle`. Raises KeyboardInterrupt where training was interrupted."""
        # Alone, there is nothing else to spend the effort on.
        alone = situation.alone(self.name)
        simulations = max(1, int(SHARE_ALONE * situation.left)) if alone else effort * situation.count
        # The ascent is worth the effort of so many rounds.
        period = math.ceil(least_cost(situation) / simulations)
        if not alone and situation.round % period:
            return None
        least, cost = least_epochs(situation), epoch_cost(situation)
        epochs = min(max(simulations // cost, least), MOST * least)
        trained = train_surrogate(
            _start(situation, generator),
            situation.problem.without_validation,
            _settings(situation.settings, epochs),
            seed=int(torch.randint(2**31, (), generator=generator)),
        )
        if trained.interrupted:
            raise KeyboardInterrupt
        return Proposal(epochs * cost, hidden=trained.network.hidden)


def epoch_cost(situation: Situation) -> int:
    """How many small branches could be scored in the time of one pass over the training sequences."""
    settings, sequences = situation.settings, situation.problem.input
    shape = situation.variation.architecture
    fans = [sequences.n_features, *[settings.block] * (shape.depth - 2)]
    fed_back = settings.block if shape.recurrent else 0
    cost = sum(PASSES + (fan + fed_back) / INPUTS_A_STEP for fan in fans)
    return math.ceil(int(sequences.lengths.sum()) * settings.block * cost / situation.branch)


def least_epochs(situation: Situation) -> int:
    """Fewer epochs train nothing."""
    return max(EPOCHS, math.ceil(STEPS / math.ceil(len(situation.problem.input) / BATCH)))


def least_cost(situation: Situation) -> int:
    """How many small branches could be scored in the time of the least training."""
    return least_epochs(situation) * epoch_cost(situation)


def _settings(settings: SearchSettings, epochs: int) -> SurrogateSettings:
    """How a block is trained; the learning rate is in inverse proportion to its width, within reason."""
    return SurrogateSettings(
        epochs=epochs,
        batch_size=BATCH,
        learning_rate=min(MOST_RATE, RATE * RATE_BLOCK / settings.block),
        dropout=settings.dropout,
        learn_leak=settings.free_leak and not settings.dyadic_leaks,
    )


def _start(situation: Situation, generator: torch.Generator) -> Network:
    problem, settings = situation.problem, situation.settings
    shape = settings.architecture(problem.input.n_features, every_step=problem.every_step)
    shape = replace(shape, branches=1, hidden=settings.block, last=settings.block)
    start = initial_network(shape, problem.n_outputs, generator)
    if not settings.free_leak:
        return start
    same = settings.threshold, settings.threshold
    spread = Heterogeneity(memory=MEMORY, threshold=same, gain=(1.0, 1.0), bias=0.0, dyadic=settings.dyadic_leaks)
    return Network(diversify(start.hidden, generator, spread), start.W)
