"""Penalties Omega on the readout weights W (P, C): value, dual norm and proximal map.

``l1`` is the path norm with p = 1, ``group`` (row-wise l2 over the C outputs) the path norm with p = 2 (theory.md
section 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor


class Penalty(Protocol):
    """A norm of the weights; the dual feasible set is {U : dual_norm(D^T U) <= rho}."""

    name: ClassVar[str]

    def value(self, W: Tensor) -> Tensor: ...
    def row_norms(self, G: Tensor) -> Tensor: ...
    def dual_norm(self, G: Tensor) -> Tensor: ...
    def prox(self, W: Tensor, step: float) -> Tensor: ...


@dataclass(frozen=True)
class L1:
    """Sum of absolute values; dual norm max |G|; prox is soft thresholding."""

    name: ClassVar[str] = "l1"

    def value(self, W: Tensor) -> Tensor:
        return W.abs().sum()

    def row_norms(self, G: Tensor) -> Tensor:
        """What each row of G (P, C) contributes to the dual norm, which is their maximum; shape (P,)."""
        return G.abs().amax(dim=1)

    def dual_norm(self, G: Tensor) -> Tensor:
        return self.row_norms(G).max() if G.numel() else G.new_zeros(())

    def prox(self, W: Tensor, step: float) -> Tensor:
        """argmin_X |X - W|^2 / 2 + step * Omega(X)."""
        return W.sign() * (W.abs() - step).clamp(min=0.0)


@dataclass(frozen=True)
class RowGroup:
    """Sum of the l2 norms of the rows; dual norm is the largest row norm; prox shrinks whole rows."""

    name: ClassVar[str] = "group"

    def value(self, W: Tensor) -> Tensor:
        return W.norm(dim=1).sum()

    def row_norms(self, G: Tensor) -> Tensor:
        """What each row of G (P, C) contributes to the dual norm, which is their maximum; shape (P,)."""
        return G.norm(dim=1)

    def dual_norm(self, G: Tensor) -> Tensor:
        return self.row_norms(G).max() if G.numel() else G.new_zeros(())

    def prox(self, W: Tensor, step: float) -> Tensor:
        """argmin_X |X - W|^2 / 2 + step * Omega(X)."""
        norms = W.norm(dim=1, keepdim=True)
        return W * (1.0 - step / norms.clamp(min=step)).clamp(min=0.0) if step > 0 else W


PENALTIES: dict[str, Penalty] = {penalty.name: penalty for penalty in (L1(), RowGroup())}
