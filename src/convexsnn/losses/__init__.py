"""Losses: value, gradient, curvature and convex conjugate, row by row, one file a loss.

`protocol` is the vocabulary. Losses of one real score (hinge, squared, logistic) are summed over the C outputs, which
for classes is one-versus-rest. The conjugates are those of theory.md section 2, with V = U_i / w_i row by row.
"""

from __future__ import annotations

from convexsnn.checks import Table
from convexsnn.losses.cross_entropy import CrossEntropy, check_heads, head_blocks
from convexsnn.losses.hinge import Hinge, is_hinge
from convexsnn.losses.logistic import Logistic
from convexsnn.losses.protocol import (
    BalancedLoss,
    DirectedLoss,
    Head,
    Loss,
    LossOfHeads,
    PiecewiseLinearLoss,
    ProbabilisticLoss,
    SmoothLoss,
)
from convexsnn.losses.squared import Squared

__all__ = [
    "LOSSES",
    "BalancedLoss",
    "CrossEntropy",
    "DirectedLoss",
    "Head",
    "Hinge",
    "Logistic",
    "Loss",
    "LossOfHeads",
    "PiecewiseLinearLoss",
    "ProbabilisticLoss",
    "SmoothLoss",
    "Squared",
    "check_heads",
    "head_blocks",
    "is_hinge",
    "loss_of",
]

LOSSES: Table[Loss] = Table("loss", {loss.name: loss for loss in (Hinge(), Squared(), Logistic(), CrossEntropy())})


def loss_of(name: str, heads: tuple[Head, ...] = ()) -> Loss:
    """The loss called `name`, of several heads when they are given.

    Raises
    ------
    ValueError
        If there is no such loss, or it has no heads.
    """
    loss = LOSSES[name]
    if not heads:
        return loss
    if not isinstance(loss, LossOfHeads):
        able = " or ".join(repr(other.name) for other in LOSSES.values() if isinstance(other, LossOfHeads))
        raise ValueError(f"loss must be {able} for several categorical outputs, not {name!r}")
    return loss.with_heads(heads)
