"""Losses and penalties of tests only: kinds that the library has never heard of."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.losses import LOSSES, CrossEntropy, Loss
from convexsnn.losses.coding import signs
from convexsnn.losses.protocol import SumOverOutputs, TargetKind
from convexsnn.penalties import PENALTIES, Norm, Penalty, PenaltyAboveNorm
from convexsnn.row_matrices import RowMatrices


@dataclass(frozen=True)
class SquaredHinge(SumOverOutputs):
    """max(0, 1 - y s)^2; conjugate y v + v^2 / 4 on y v <= 0. Smooth, with a curvature that depends on the label."""

    name: ClassVar[str] = "squared_hinge"
    target_kinds: ClassVar[frozenset[TargetKind]] = frozenset({"classes"})

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        return signs(labels, n_classes)

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        return ((1.0 - Y * S).clamp(min=0.0) ** 2).sum(dim=1)

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        return -2.0 * Y * (1.0 - Y * S).clamp(min=0.0)

    def curvature(self, S: Tensor, Y: Tensor) -> RowMatrices:
        return RowMatrices(torch.where(Y * S < 1.0, 2.0, 0.0).to(S.dtype))

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        return torch.where(Y * V <= 0.0, Y * V + V**2 / 4.0, torch.inf).sum(dim=1)

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:
        return Y * (Y * V).clamp(max=0.0)


@dataclass(frozen=True)
class SharpCrossEntropy:
    """Half the cross entropy of twice the scores: smooth, couples the outputs, and is not the library's."""

    name: ClassVar[str] = "sharp_cross_entropy"
    separable: ClassVar[bool] = False
    target_kinds: ClassVar[frozenset[TargetKind]] = frozenset({"classes"})
    heads: ClassVar[tuple] = ()
    plain: ClassVar[CrossEntropy] = CrossEntropy()

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        return self.plain.encode(labels, n_classes)

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        return 0.5 * self.plain.value(2.0 * S, Y)

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        return self.plain.gradient(2.0 * S, Y)

    def curvature(self, S: Tensor, Y: Tensor) -> RowMatrices:
        diagonal, vector, blocks = self.plain.curvature(2.0 * S, Y)
        assert vector is not None
        return RowMatrices(2.0 * diagonal, 2.0**0.5 * vector, blocks)

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        return 0.5 * self.plain.conjugate(V, Y)

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:
        return self.plain.project_dual(V, Y)


@dataclass(frozen=True)
class Absolute(SumOverOutputs):
    """|s - y|; conjugate v y on |v| <= 1. Neither smooth nor piecewise linear in the margin: no solver takes it."""

    name: ClassVar[str] = "absolute"
    target_kinds: ClassVar[frozenset[TargetKind]] = frozenset({"classes", "reals"})

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        return signs(labels, n_classes)

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        return (S - Y).abs().sum(dim=1)

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        return (S - Y).sign()

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        return torch.where(V.abs() <= 1.0, V * Y, torch.inf).sum(dim=1)

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:  # noqa: ARG002
        return V.clamp(-1.0, 1.0)


@dataclass(frozen=True)
class LargestEntry(Norm):
    """Sum of the largest absolute values of the rows (l-infinity); its dual norm is the largest l1 norm of a row."""

    name: ClassVar[str] = "largest"

    def exponent(self, n_outputs: int) -> float:
        return 1.0 if n_outputs == 1 else float("inf")

    def value(self, W: Tensor) -> Tensor:
        return W.abs().amax(dim=1).sum() if W.numel() else W.sum()

    def row_norms(self, G: Tensor) -> Tensor:
        return G.abs().sum(dim=1)

    def row_norm_within(self, caps: Tensor) -> Tensor:
        return caps.sum()

    def prox(self, W: Tensor, step: float) -> Tensor:
        """By Moreau: W less its projection onto the l1 ball of radius `step`, row by row."""
        size = W.abs()
        ranked = size.sort(dim=1, descending=True).values
        counts = torch.arange(1, W.shape[1] + 1, dtype=W.dtype)
        cuts = (ranked.cumsum(dim=1) - step) / counts
        cut = cuts.amax(dim=1, keepdim=True).clamp(min=0.0)
        return W - W.sign() * (size - cut).clamp(min=0.0)


LOSS_KINDS: list[Loss] = [*LOSSES.values(), SquaredHinge(), SharpCrossEntropy(), Absolute()]
PENALTY_KINDS: list[Penalty] = [*PENALTIES.values(), LargestEntry()]
ABOVE_NORMS = [penalty for penalty in PENALTY_KINDS if isinstance(penalty, PenaltyAboveNorm)]
NORM_KINDS = [penalty for penalty in PENALTY_KINDS if isinstance(penalty, Norm)]
