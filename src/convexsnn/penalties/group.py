"""The row-group penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.penalties.protocol import Norm, ProximalPoint
from convexsnn.row_matrices import RowMatrices


@dataclass(frozen=True)
class RowGroup(Norm):
    """Sum of the l2 norms of the rows; dual norm is the largest row norm; the proximal map shrinks whole rows."""

    name: ClassVar[str] = "group"

    def exponent(self, n_outputs: int) -> float:
        """2, or 1 of one output, where the norm of a row is the absolute value."""
        return 1.0 if n_outputs == 1 else 2.0

    def value(self, W: Tensor) -> Tensor:
        return W.norm(dim=1).sum()

    def row_norms(self, G: Tensor) -> Tensor:
        """The l2 norm of each row of G (P, C), shape (P,)."""
        return G.norm(dim=1)

    def row_norm_within(self, caps: Tensor) -> Tensor:
        """The root of the sum of the squared caps (C,), which a row attains."""
        return caps.norm()

    def prox(self, W: Tensor, step: float) -> Tensor:
        norms = W.norm(dim=1, keepdim=True)
        return W * (1.0 - step / norms.clamp(min=step)).clamp(min=0.0) if step > 0 else W

    def proximal_point(self, Z: Tensor, thresholds: Tensor) -> ProximalPoint:
        """Shrinkage of the rows of Z (P, C) by thresholds (P, 1).

        The Jacobian keeps the direction of the row and shrinks what is orthogonal to it by 1 - threshold / |row|.
        """
        norms = Z.norm(dim=1, keepdim=True)
        active = norms > thresholds
        kept = torch.where(active, 1.0 - thresholds / norms, 1.0)
        # A row just beyond the threshold has kept ~ 0; the floor keeps its inverse finite.
        diagonal = 1.0 / kept.clamp(min=1e-12)
        direction = torch.where(active, Z / norms, 0.0)
        vector = (diagonal - 1.0).sqrt() * direction
        W = torch.where(active, kept * Z, 0.0)
        return ProximalPoint(W, active.expand_as(Z), RowMatrices(diagonal.expand_as(Z), vector))
