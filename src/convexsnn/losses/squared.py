"""The squared loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.errorfree import UNIT, two_sum
from convexsnn.losses.coding import signs
from convexsnn.losses.protocol import SumOverOutputs, TargetKind
from convexsnn.row_matrices import RowMatrices


@dataclass(frozen=True)
class Squared(SumOverOutputs):
    """(s - y)^2; conjugate v^2/4 + v y. For classes the targets are +-1 as for the hinge."""

    name: ClassVar[str] = "squared"
    target_kinds: ClassVar[frozenset[TargetKind]] = frozenset({"classes", "reals"})

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        """Class indices (n,) as +-1 of shape (n, 1) for two classes, (n, n_classes) for more."""
        return signs(labels, n_classes)

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        return ((S - Y) ** 2).sum(dim=1)

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        return 2.0 * (S - Y)

    def curvature(self, S: Tensor, Y: Tensor) -> RowMatrices:  # noqa: ARG002 - it is the same everywhere
        """Diagonal 2, no coupling between outputs."""
        return RowMatrices(torch.full_like(S, 2.0))

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        return (V**2 / 4.0 + V * Y).sum(dim=1)

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:  # noqa: ARG002 - the domain is everything
        return V

    def value_within(self, S: Tensor, tail: Tensor, error: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        difference, lost = two_sum(S, -Y)
        residual = difference + (lost + tail)
        value = (residual**2).sum(dim=1)
        off = ((2.0 * residual.abs() + error) * error).sum(dim=1)
        return value, off + (S.shape[1] + 8) * UNIT * value

    def conjugate_within(self, V: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        size = V**2 / 4.0 + (V * Y).abs()
        return self.conjugate(V, Y), (V.shape[1] + 16) * UNIT * size.sum(dim=1)
