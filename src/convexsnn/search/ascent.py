"""The oracle that trains a whole branch by surrogate gradients; its columns are scored on true spikes like the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from convexsnn.network import Hidden, Network
from convexsnn.problem import Problem
from convexsnn.search.settings import SearchSettings
from convexsnn.surrogate import SurrogateSettings, initial_network, train_surrogate
from convexsnn.witnesses.architecture import Architecture
from convexsnn.witnesses.heterogeneous import Heterogeneity, diversify

BATCH = 64
# At least so many steps, in at least so many passes over the training sequences; and at most MOST times as many.
STEPS, EPOCHS, MOST = 4000, 10, 2
# Adam's steps are as long for every weight: a sum of fewer weights bears longer ones. At so many neurons it is RATE.
RATE, RATE_BLOCK, MOST_RATE = 2e-3, 512, 1e-2
# A step of a neuron in training takes about as long as so many in scoring, and one more for so many inputs.
PASSES, INPUTS_A_STEP = 6, 45
# Steps over which free leaks remember at first.
MEMORY = (1.0, 30.0)


@dataclass(frozen=True, eq=False)
class Ascent:
    """Branches of `block` neurons a layer, trained from scratch on the program's own objective.

    Dropout keeps one branch's columns from leaning on each other, and every call draws anew: so columns of several
    calls err differently, and the convex program has something to choose from.

    Attributes
    ----------
    architecture : Architecture
        Of the search; its numbers of neurons and branches are not used.
    problem : Problem
    settings : SearchSettings
    branch : int
        Neuron steps of running one small branch, such as other oracles propose, over all training rows.
    """

    architecture: Architecture
    problem: Problem
    settings: SearchSettings
    branch: int

    @property
    def epoch_cost(self) -> int:
        """How many small branches could be scored in the time of one pass over the training sequences."""
        a, steps = self.architecture, int(self.problem.input.lengths.sum())
        fans = [a.n_features, *[self.settings.block] * (a.depth - 2)]
        fed_back = self.settings.block if a.recurrent else 0
        cost = sum(PASSES + (fan + fed_back) / INPUTS_A_STEP for fan in fans)
        return math.ceil(steps * self.settings.block * cost / self.branch)

    @property
    def learning_rate(self) -> float:
        """In inverse proportion to the width, within reason."""
        return min(MOST_RATE, RATE * RATE_BLOCK / self.settings.block)

    @property
    def least_epochs(self) -> int:
        """Fewer train nothing."""
        return max(EPOCHS, math.ceil(STEPS / math.ceil(len(self.problem.input) / BATCH)))

    def period(self, simulations: int) -> int:
        """The ascent is worth the effort of so many rounds, if that of each is `simulations`."""
        return math.ceil(self.least_cost / simulations)

    @property
    def least_cost(self) -> int:
        """How many small branches could be scored in the time of the least training."""
        return self.least_epochs * self.epoch_cost

    def propose(self, simulations: int, generator: torch.Generator) -> tuple[Hidden, int]:
        """Train one branch for about as long as `simulations` small ones take; it, and what it took.

        Raises KeyboardInterrupt where training was interrupted.
        """
        epochs = min(max(simulations // self.epoch_cost, self.least_epochs), MOST * self.least_epochs)
        settings = SurrogateSettings(
            epochs=epochs,
            batch_size=BATCH,
            learning_rate=self.learning_rate,
            dropout=self.settings.dropout,
            learn_leak=self.settings.free_leak,
        )
        shape = replace(self.architecture, branches=1, hidden=self.settings.block, last=self.settings.block)
        start = initial_network(shape, self.problem.targets.shape[1], generator)
        if self.settings.free_leak:
            same = self.architecture.threshold, self.architecture.threshold
            spread = Heterogeneity(memory=MEMORY, threshold=same, gain=(1.0, 1.0), bias=0.0)
            start = Network(diversify(start.hidden, generator, spread), start.W)
        seed = int(torch.randint(2**31, (), generator=generator))
        trained = train_surrogate(start, self.problem, settings, seed=seed)
        if trained.interrupted:
            raise KeyboardInterrupt
        return trained.network.hidden, epochs * self.epoch_cost
