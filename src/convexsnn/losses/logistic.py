"""The logistic loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.errorfree import UNIT
from convexsnn.losses.coding import entropy_margin, signs
from convexsnn.losses.protocol import SumOverOutputs, TargetKind
from convexsnn.row_matrices import RowMatrices


@dataclass(frozen=True)
class Logistic(SumOverOutputs):
    """log(1 + exp(-y s)), y = +-1; conjugate q log q + (1-q) log(1-q), q = -y v. Beyond two: one-versus-rest."""

    name: ClassVar[str] = "logistic"
    target_kinds: ClassVar[frozenset[TargetKind]] = frozenset({"classes"})

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        """Class indices (n,) as +-1 of shape (n, 1) for two classes, (n, n_classes) for more."""
        return signs(labels, n_classes)

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        return torch.nn.functional.softplus(-Y * S, threshold=50.0).sum(dim=1)

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        return -Y * torch.sigmoid(-Y * S)

    def curvature(self, S: Tensor, Y: Tensor) -> RowMatrices:  # noqa: ARG002 - both labels have the same
        """Diagonal q (1 - q), no coupling between outputs."""
        return RowMatrices(torch.sigmoid(S) * torch.sigmoid(-S))

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        q = -Y * V
        inside = (q >= 0.0) & (q <= 1.0)
        entropy = torch.special.xlogy(q, q) + torch.special.xlog1py(1.0 - q, -q)
        return torch.where(inside, entropy, torch.inf).sum(dim=1)

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:
        """The nearest point of the conjugate's domain."""
        return -Y * (-Y * V).clamp(0.0, 1.0)

    def probabilities(self, S: Tensor) -> Tensor:
        """Class probabilities (n, classes). One-versus-rest scores give one a class, and these are normalised."""
        if S.shape[1] == 1:
            return torch.cat([torch.sigmoid(-S), torch.sigmoid(S)], dim=1)
        # In the log domain, so that rows far from every class still sum to one.
        return torch.softmax(torch.nn.functional.logsigmoid(S), dim=1)

    def value_within(self, S: Tensor, tail: Tensor, error: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        x = -Y * S
        value = torch.nn.functional.softplus(x, threshold=50.0)
        # The slope is at most the logistic function where the argument is largest.
        change = tail.abs() + error
        off = change * torch.sigmoid(x + change) * (1.0 + 32.0 * UNIT)
        return value.sum(dim=1), off.sum(dim=1) + (S.shape[1] + 16) * UNIT * value.sum(dim=1)

    def conjugate_within(self, V: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        q = (-Y * V).clamp(0.0, 1.0)
        entropy = torch.special.xlogy(q, q) + torch.special.xlog1py(1.0 - q, -q)
        return entropy.sum(dim=1), (V.shape[1] + 8) * entropy_margin(q, q).sum(dim=1)
