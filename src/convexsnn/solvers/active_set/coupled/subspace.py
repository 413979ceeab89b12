"""Newton's method on the support: the penalty is smooth there, and what would change its sign is dropped."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.solvers.active_set.coupled.block_inverse import BlockInverse
from convexsnn.solvers.active_set.coupled.coarse import coarse_spaces
from convexsnn.solvers.active_set.coupled.grams import Gram
from convexsnn.solvers.active_set.coupled.quadratic import Quadratic
from convexsnn.solvers.newton.system import preconditioned

# How often units that would turn round are dropped, and the system solved again without them.
DROPS = 5
ITERATIONS = 60
# The preconditioner is made anew where less than this part of the units is left for which it was made.
KEPT = 0.8


def newton_on_support(quadratic: Quadratic, grams: list[Gram], accuracy: float) -> Tensor:
    """Where the model has its minimum if no unit enters, and those leave that would turn round: shape (k, C)."""
    units, x, level = quadratic.units, quadratic.x, quadratic.level
    directions, bend = units.directions(x), units.bend(x, level)
    active = (units.sizes(x) > 0.0).expand_as(x)
    right = -(quadratic.gradient + level * directions)
    coarse = coarse_spaces(quadratic, grams, active, bend)
    inverse, inverted = BlockInverse(grams, active, bend, coarse), int(active.sum())
    change = torch.zeros_like(x)

    def apply(X: Tensor) -> Tensor:
        turned = quadratic.hessian(X) if bend is None else quadratic.hessian(X) + bend.apply(X)
        return torch.where(active, turned, 0.0)

    def precondition(X: Tensor) -> Tensor:
        return quadratic.centred(inverse.apply(quadratic.centred(X), active))

    enough = 0.0
    for _ in range(DROPS):
        if not bool(active.any()):
            break
        left = torch.where(active, right, 0.0) - apply(change)
        if not enough:
            enough = accuracy**2 * float((left * precondition(left)).sum())
        change = change + preconditioned(apply, precondition, left, accuracy, ITERATIONS, enough)[0]
        turning = active & (units.along(x + change, directions) <= 0.0)
        if not bool(turning.any()):
            break
        change, active = torch.where(turning, -x, change), active & ~turning
        left_over = int(active.sum())
        if left_over < KEPT * inverted:
            inverse, inverted = BlockInverse(grams, active, bend, coarse), left_over
    return x + change
