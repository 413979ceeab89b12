"""The oracle that trains a whole branch by surrogate gradients; its columns are scored on true spikes like the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from convexsnn.network import Hidden, Network
from convexsnn.surrogate import Problem, SurrogateSettings, initial_network, train_surrogate
from convexsnn.witnesses.architecture import Architecture
from convexsnn.witnesses.heterogeneous import Heterogeneity, diversify

# Passes over the training sequences, whatever the effort.
EPOCHS = (8, 40)
# A step of training takes about as long as running a branch this many times.
STEP_COST = 4
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
    block, width : int
        Neurons of a layer, here and in the branches that other oracles propose.
    free_leak, free_bias : bool
    repeats : float
        Steps of all training sequences, which training runs, for each of their distinct prefixes, which scoring runs.
    """

    architecture: Architecture
    problem: Problem
    block: int
    width: int
    free_leak: bool
    free_bias: bool
    repeats: float

    @property
    def epoch_cost(self) -> int:
        """How many small branches could be scored in the time of one pass over the training sequences."""
        return math.ceil(STEP_COST * self.repeats * max(1.0, self.block / self.width))

    def period(self, simulations: int) -> int:
        """The ascent is worth the effort of so many rounds, if that of each is `simulations`."""
        return math.ceil(EPOCHS[0] * self.epoch_cost / simulations)

    def propose(self, simulations: int, generator: torch.Generator) -> tuple[Hidden, int]:
        """Train one branch for about as long as `simulations` small ones take; it, and what it took."""
        epochs = min(max(simulations // self.epoch_cost, EPOCHS[0]), EPOCHS[1])
        settings = SurrogateSettings(epochs=epochs, batch_size=64, dropout=0.5, learn_leak=self.free_leak)
        shape = replace(self.architecture, branches=1, hidden=self.block, last=self.block)
        shape = replace(shape, bias=self.free_bias or shape.bias)
        start = initial_network(shape, self.problem.targets.shape[1], generator)
        if self.free_leak:
            same = self.architecture.threshold, self.architecture.threshold
            spread = Heterogeneity(memory=MEMORY, threshold=same, gain=(1.0, 1.0), bias=0.0)
            start = Network(diversify(start.hidden, generator, spread), start.W)
        seed = int(torch.randint(2**31, (), generator=generator))
        return train_surrogate(start, self.problem, settings, seed=seed).network.hidden, epochs * self.epoch_cost
