"""Neurons that give a wanted pattern when they are run in float64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from convexsnn.bounds.patterns.dynamics import Conditions, Dynamics
from convexsnn.bounds.patterns.weights import candidates
from convexsnn.network import Branch, Hidden
from convexsnn.rationals import Floats
from convexsnn.sequences import Sequences
from convexsnn.simulation import simulate

# Neighbours in float64 that are tried of each of the weights, where these fail: all else equal, they round otherwise.
NEIGHBOURS = 512
# Last places by which neighbours differ, and factors by which a neuron without threshold is scaled.
PLACES, SCALES = 2, 64.0


def find_branch(dynamics: Dynamics, conditions: Conditions, sequences: Sequences, column: Tensor) -> Branch | None:
    """A branch of one neuron that meets the conditions and gives the column (rows,), bool, when it is simulated.

    None when none of the weights tried does: the pattern needs potentials that float64 cannot compute.
    """
    tried = []
    for p in candidates(dynamics, conditions):
        tried.append(p)
        found = _first_right(dynamics, [p], sequences, column)
        if found is not None:
            return found
    for p in tried:
        found = _first_right(dynamics, list(_neighbours(dynamics, p)), sequences, column)
        if found is not None:
            return found
    return None


def _first_right(dynamics: Dynamics, every: Sequence[Floats], sequences: Sequences, column: Tensor) -> Branch | None:
    """The first of parameters with which the neuron gives the column."""
    family, unit = dynamics.family, dynamics.unit
    branches = tuple(unit.branch(torch.from_numpy(p), family.n_features, torch.float64) for p in every)
    together = Hidden(family.n_features, branches, family.readout, family.every_step)
    right = (simulate(together, sequences).features == column[:, None]).all(dim=0)
    return branches[int(right.to(torch.int64).argmax())] if bool(right.any()) else None


def _neighbours(dynamics: Dynamics, p: Floats) -> Iterator[Floats]:
    random, theta = np.random.default_rng(0), dynamics.theta
    for _ in range(NEIGHBOURS):
        places = random.integers(-PLACES, PLACES + 1, size=len(p))
        scale = 1.0
        if theta is None:
            scale = random.uniform(1.0, SCALES)
        else:
            places[theta] = 0
        yield scale * p + places * np.spacing(np.abs(scale * p))
