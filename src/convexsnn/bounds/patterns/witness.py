"""Neurons that give a wanted pattern when they are run in float64."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convexsnn.bounds.patterns.dynamics import Conditions, Dynamics, Steps
from convexsnn.bounds.patterns.weights import candidates
from convexsnn.network import Branch, Hidden
from convexsnn.rationals import Floats
from convexsnn.sequences import Sequences
from convexsnn.simulation import Simulation, simulate

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
        found = _right(dynamics, p[:, None], sequences, column)
        if found is not None:
            return found
    for p in tried:
        near = _neighbours(dynamics, p)
        for k in torch.nonzero(_which(dynamics, near, sequences, column)).flatten().tolist():
            found = _right(dynamics, near[:, [k]], sequences, column)  # a product of other shape may round otherwise
            if found is not None:
                return found
    return None


def branch_of(dynamics: Steps, p: Floats) -> Branch:
    """The neurons of parameters (r, m) as one layer."""
    return dynamics.unit.branch(torch.from_numpy(p), dynamics.family.n_features, torch.float64)


def run_in_floats(dynamics: Steps, p: Floats, sequences: Sequences) -> tuple[Branch, Simulation] | None:
    """The neurons of parameters (r, m) as one layer, and what they do; None beyond the range of float64."""
    family = dynamics.family
    try:
        branch = branch_of(dynamics, p)
        return branch, simulate(Hidden(family.n_features, (branch,), family.readout, family.every_step), sequences)
    except ValueError:  # weights or potentials
        return None


def rounding_of(p: Floats, largest: float, threshold: float, steps: int) -> float:
    """No potential that float64 computes of neurons of parameters (r, m) is off by more than this.

    `largest` is the size of the largest input, and `threshold` that of the neurons' threshold.
    """
    # No potential, nor any sum on its way, is larger than `size`.
    size = steps * (float(np.abs(p).sum(axis=0).max(initial=0.0)) * largest + threshold)
    terms = 4.0 * steps * (len(p) + 8)
    return size * terms * float(np.finfo(np.float64).eps)


def _right(dynamics: Dynamics, p: Floats, sequences: Sequences, column: Tensor) -> Branch | None:
    """The branch of one neuron of parameters (r, 1) if it gives the column."""
    return branch_of(dynamics, p) if bool(_which(dynamics, p, sequences, column)[0]) else None


def _which(dynamics: Dynamics, p: Floats, sequences: Sequences, column: Tensor) -> Tensor:
    """Which of parameters (r, m) give the column, when the neurons are run as one layer: bool (m,)."""
    run = run_in_floats(dynamics, p, sequences)
    if run is None:
        return torch.zeros(p.shape[1], dtype=torch.bool)
    return (run[1].features == column[:, None]).all(dim=0)


def _neighbours(dynamics: Dynamics, p: Floats) -> Floats:
    """Parameters (r, m) that differ from `p` in the last places; without a threshold also in scale."""
    random, theta = np.random.default_rng(0), dynamics.theta
    places = random.integers(-PLACES, PLACES + 1, size=(len(p), NEIGHBOURS))
    if theta is not None:
        places[theta] = 0
    near = p[:, None] * (random.uniform(1.0, SCALES, size=NEIGHBOURS) if theta is None else 1.0)
    return near + places * np.spacing(np.abs(near))
