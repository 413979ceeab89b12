"""Losses: value, gradient, curvature and convex conjugate, row by row.

Every loss maps scores ``S`` and encoded targets ``Y``, both of shape (n, C), to one number a row; the data term of the
convex program is their weighted sum, F(S) = sum_i w_i loss(y_i, S_i). Losses of one real score (hinge, squared,
logistic) are summed over the C outputs, which for classes is one-versus-rest. The conjugates are those of theory.md
section 2, with V = U_i / w_i row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor


class Loss(Protocol):
    """What the convex program, its solvers and its certificate need of a loss."""

    name: ClassVar[str]
    smooth: ClassVar[bool]

    def encode(self, labels: Tensor, n_classes: int) -> Tensor: ...
    def value(self, S: Tensor, Y: Tensor) -> Tensor: ...
    def gradient(self, S: Tensor, Y: Tensor) -> Tensor: ...
    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor: ...
    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor: ...


class SmoothLoss(Loss, Protocol):
    """A loss with a Hessian: row i of it is diag(a_i) - b_i b_i^T with (a, b) = curvature(S)."""

    def curvature(self, S: Tensor) -> tuple[Tensor, Tensor | None]: ...


def _signs(labels: Tensor, n_classes: int) -> Tensor:
    """Class indices as +-1: one output for two classes (+1 = class 1), else one output a class."""
    if n_classes == 2:
        return (2.0 * labels.to(torch.float64) - 1.0).unsqueeze(1)
    return 2.0 * _one_hot(labels, n_classes) - 1.0


def _one_hot(labels: Tensor, n_classes: int) -> Tensor:
    return torch.nn.functional.one_hot(labels, n_classes).to(torch.float64)


@dataclass(frozen=True)
class Hinge:
    """max(0, 1 - y s), y = +-1; conjugate y v on -1 <= y v <= 0. Classes beyond two: one-versus-rest."""

    name: ClassVar[str] = "hinge"
    smooth: ClassVar[bool] = False

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        """Class indices (n,) as +-1 of shape (n, 1) for two classes, (n, n_classes) for more."""
        return _signs(labels, n_classes)

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


@dataclass(frozen=True)
class Squared:
    """(s - y)^2; conjugate v^2/4 + v y. For classes the targets are +-1 as for the hinge."""

    name: ClassVar[str] = "squared"
    smooth: ClassVar[bool] = True

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        """Class indices (n,) as +-1 of shape (n, 1) for two classes, (n, n_classes) for more."""
        return _signs(labels, n_classes)

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        return ((S - Y) ** 2).sum(dim=1)

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        return 2.0 * (S - Y)

    def curvature(self, S: Tensor) -> tuple[Tensor, Tensor | None]:
        """Diagonal 2, no coupling between outputs."""
        return torch.full_like(S, 2.0), None

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        return (V**2 / 4.0 + V * Y).sum(dim=1)

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:  # noqa: ARG002 - the domain is everything
        return V


@dataclass(frozen=True)
class Logistic:
    """log(1 + exp(-y s)), y = +-1; conjugate q log q + (1-q) log(1-q), q = -y v. Beyond two: one-versus-rest."""

    name: ClassVar[str] = "logistic"
    smooth: ClassVar[bool] = True

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        """Class indices (n,) as +-1 of shape (n, 1) for two classes, (n, n_classes) for more."""
        return _signs(labels, n_classes)

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        return torch.nn.functional.softplus(-Y * S, threshold=50.0).sum(dim=1)

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        return -Y * torch.sigmoid(-Y * S)

    def curvature(self, S: Tensor) -> tuple[Tensor, Tensor | None]:
        """Diagonal q (1 - q), no coupling between outputs."""
        return torch.sigmoid(S) * torch.sigmoid(-S), None

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        q = -Y * V
        inside = (q >= 0.0) & (q <= 1.0)
        entropy = torch.special.xlogy(q, q) + torch.special.xlog1py(1.0 - q, -q)
        return torch.where(inside, entropy, torch.inf).sum(dim=1)

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:
        """The nearest point of the conjugate's domain."""
        return -Y * (-Y * V).clamp(0.0, 1.0)


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross entropy, y one-hot; with v = p - y, p in the simplex, the conjugate is sum_c p_c log p_c."""

    name: ClassVar[str] = "cross_entropy"
    smooth: ClassVar[bool] = True

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        """Class indices (n,) as one-hot rows (n, n_classes)."""
        return _one_hot(labels, n_classes)

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        return torch.logsumexp(S, dim=1) - (S * Y).sum(dim=1)

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        return torch.softmax(S, dim=1) - Y

    def curvature(self, S: Tensor) -> tuple[Tensor, Tensor | None]:
        """diag(p) - p p^T."""
        p = torch.softmax(S, dim=1)
        return p, p

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        p = V + Y
        # The simplex has no interior in R^C: a float64 row is accepted when it sums to one within rounding.
        inside = (p >= 0.0).all(dim=1) & ((p.sum(dim=1) - 1.0).abs() <= 1e-12)
        return torch.where(inside, torch.special.xlogy(p, p).sum(dim=1), torch.inf)

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:
        """Clip p = V + Y to be nonnegative and normalise its rows to sum to one."""
        p = (V + Y).clamp(min=0.0)
        total = p.sum(dim=1, keepdim=True)
        return torch.where(total > 0.0, p / total, Y) - Y


LOSSES: dict[str, Loss] = {loss.name: loss for loss in (Hinge(), Squared(), Logistic(), CrossEntropy())}
