"""Neurons that give a wanted pattern when they are run in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.bounds.patterns.dynamics import Conditions, Dynamics
from convexsnn.bounds.patterns.weights import candidates
from convexsnn.network import Branch, Hidden
from convexsnn.sequences import Sequences
from convexsnn.simulation import simulate


def find_branch(dynamics: Dynamics, conditions: Conditions, sequences: Sequences, column: Tensor) -> Branch | None:
    """A branch of one neuron that meets the conditions and gives the column (rows,), bool, when it is simulated.

    None when none of the weights tried does: the pattern needs potentials that float64 cannot compute.
    """
    family = dynamics.family
    for p in candidates(dynamics, conditions):
        branch = dynamics.unit.branch(torch.from_numpy(p), family.n_features, torch.float64)
        alone = Hidden(family.n_features, (branch,), family.readout, family.every_step)
        if torch.equal(simulate(alone, sequences).features[:, 0], column):
            return branch
    return None
