"""The l1 penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.penalties.protocol import Norm, ProximalPoint
from convexsnn.row_matrices import RowMatrices


@dataclass(frozen=True)
class L1(Norm):
    """Sum of absolute values; dual norm max |G|; the proximal map is soft thresholding."""

    name: ClassVar[str] = "l1"

    def exponent(self, n_outputs: int) -> float:  # noqa: ARG002 - of any number
        """1."""
        return 1.0

    def value(self, W: Tensor) -> Tensor:
        return W.abs().sum()

    def row_norms(self, G: Tensor) -> Tensor:
        """The largest absolute value of each row of G (P, C), shape (P,)."""
        return G.abs().amax(dim=1)

    def row_norm_within(self, caps: Tensor) -> Tensor:
        """The largest of the caps (C,), which a row attains."""
        return caps.amax()

    def prox(self, W: Tensor, step: float) -> Tensor:
        return W.sign() * (W.abs() - step).clamp(min=0.0)

    def proximal_point(self, Z: Tensor, thresholds: Tensor) -> ProximalPoint:
        """Soft thresholding of Z (P, C) by thresholds (P, 1)."""
        active = Z.abs() > thresholds
        W = torch.where(active, Z - thresholds * Z.sign(), 0.0)
        return ProximalPoint(W, active, RowMatrices(torch.ones_like(Z)))
