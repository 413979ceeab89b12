"""The hinge loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.errorfree import UNIT, two_sum
from convexsnn.losses.coding import signs
from convexsnn.losses.protocol import Loss, PiecewiseLinearLoss, SumOverOutputs, TargetKind


@dataclass(frozen=True)
class Hinge(SumOverOutputs):
    """max(0, 1 - y s), y = +-1; conjugate y v on -1 <= y v <= 0. Classes beyond two: one-versus-rest."""

    name: ClassVar[str] = "hinge"
    target_kinds: ClassVar[frozenset[TargetKind]] = frozenset({"classes"})
    margin_pieces: ClassVar[tuple[tuple[float, float], ...]] = ((-1.0, 1.0), (0.0, 0.0))

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        """Class indices (n,) as +-1 of shape (n, 1) for two classes, (n, n_classes) for more."""
        return signs(labels, n_classes)

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        return (1.0 - Y * S).clamp(min=0.0).sum(dim=1)

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        """A subgradient (0 at the kink)."""
        return torch.where(Y * S < 1.0, -Y, torch.zeros_like(Y))

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        v = Y * V
        return torch.where((v >= -1.0) & (v <= 0.0), v, torch.inf).sum(dim=1)

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:
        """The nearest point of the conjugate's domain."""
        return Y * (Y * V).clamp(-1.0, 0.0)

    def value_within(self, S: Tensor, tail: Tensor, error: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        slack, lost = two_sum(torch.ones_like(S), -Y * S)
        slack = slack + (lost - Y * tail)
        value = slack.clamp(min=0.0).sum(dim=1)
        off = torch.where(slack > -error, error, torch.zeros_like(error)).sum(dim=1)
        return value, off + (S.shape[1] + 8) * UNIT * value

    def conjugate_within(self, V: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        value = (Y * V).clamp(-1.0, 0.0).sum(dim=1)
        return value, (V.shape[1] + 8) * UNIT * value.abs()


def is_hinge(loss: Loss) -> bool:
    """Whether a loss is max(0, 1 - y s), summed over the outputs, under whatever name."""
    return isinstance(loss, PiecewiseLinearLoss) and set(loss.margin_pieces) == set(Hinge.margin_pieces)
