"""Losses: value, gradient, curvature and convex conjugate, row by row.

Every loss maps scores ``S`` and encoded targets ``Y``, both of shape (n, C), to one number a row; the data term of the
convex program is their weighted sum, F(S) = sum_i w_i loss(y_i, S_i). Losses of one real score (hinge, squared,
logistic) are summed over the C outputs, which for classes is one-versus-rest. The conjugates are those of theory.md
section 2, with V = U_i / w_i row by row.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from convexsnn.checks import check_choice, check_integer, check_real


class Head(NamedTuple):
    """One of several categorical outputs: how many classes it has, and its weight in the loss."""

    classes: int
    weight: float = 1.0


class Rows(NamedTuple):
    """A symmetric C x C matrix a row, as a diagonal less matrices of rank one on disjoint blocks of the outputs.

    Attributes
    ----------
    diagonal : tensor of shape (rows, C)
    vector : tensor of shape (rows, C), optional
        Row i stands for diag(diagonal_i) - sum_b v_ib v_ib^T, with v_ib the vector_i on block b and zero elsewhere.
    blocks : tuple of range
        The blocks in order, together all outputs; () is one block of all.
    """

    diagonal: Tensor
    vector: Tensor | None = None
    blocks: tuple[range, ...] = ()


class Loss(Protocol):
    """What the convex program, its solvers and its certificate need of a loss."""

    name: ClassVar[str]
    smooth: ClassVar[bool]

    @property
    def heads(self) -> tuple[Head, ...]: ...

    def encode(self, labels: Tensor, n_classes: int) -> Tensor: ...
    def value(self, S: Tensor, Y: Tensor) -> Tensor: ...
    def gradient(self, S: Tensor, Y: Tensor) -> Tensor: ...
    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor: ...
    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor: ...


class SmoothLoss(Loss, Protocol):
    """A loss with a Hessian, which is ``curvature(S)`` row by row."""

    def curvature(self, S: Tensor) -> Rows: ...


class _WithoutHeads:
    """A loss that is a sum over the outputs."""

    @property
    def heads(self) -> tuple[Head, ...]:
        """None."""
        return ()


def _signs(labels: Tensor, n_classes: int) -> Tensor:
    """Class indices as +-1: one output for two classes (+1 = class 1), else one output a class."""
    if n_classes == 2:
        return (2.0 * labels.to(torch.float64) - 1.0).unsqueeze(1)
    return 2.0 * _one_hot(labels, n_classes) - 1.0


def _one_hot(labels: Tensor, n_classes: int) -> Tensor:
    return torch.nn.functional.one_hot(labels, n_classes).to(torch.float64)


@dataclass(frozen=True)
class Hinge(_WithoutHeads):
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
class Squared(_WithoutHeads):
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

    def curvature(self, S: Tensor) -> Rows:
        """Diagonal 2, no coupling between outputs."""
        return Rows(torch.full_like(S, 2.0))

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        return (V**2 / 4.0 + V * Y).sum(dim=1)

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:  # noqa: ARG002 - the domain is everything
        return V


@dataclass(frozen=True)
class Logistic(_WithoutHeads):
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

    def curvature(self, S: Tensor) -> Rows:
        """Diagonal q (1 - q), no coupling between outputs."""
        return Rows(torch.sigmoid(S) * torch.sigmoid(-S))

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
    """Softmax cross entropy, y one-hot; with v = p - y, p in the simplex, the conjugate is sum_c p_c log p_c.

    With several `heads` the scores are that many blocks, and the loss is the weighted sum of one softmax cross entropy
    a block. As (w f)*(v) = w f*(v / w), and the conjugate of a sum over separate variables is the sum of the
    conjugates, the conjugate is sum_h w_h sum_c p_hc log p_hc with v_h = w_h (p_h - y_h).

    Attributes
    ----------
    heads : tuple of Head
        () is one head of weight 1 over all scores.

    Raises
    ------
    ValueError
        If a head has no class, or a weight that is not positive.
    """

    name: ClassVar[str] = "cross_entropy"
    smooth: ClassVar[bool] = True
    heads: tuple[Head, ...] = ()

    def __post_init__(self) -> None:
        for k, head in enumerate(self.heads):
            check_integer(f"the classes of head {k}", head.classes)
            check_real(f"the weight of head {k}", head.weight, 0.0, open_minimum=True)

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        """Class indices (n,) as one-hot rows (n, n_classes); with heads (n, H), n_classes those of all heads."""
        if not self.heads:
            return _one_hot(labels, n_classes)
        total = sum(head.classes for head in self.heads)
        if n_classes != total or labels.ndim != 2 or labels.shape[1] != len(self.heads):
            raise ValueError(
                f"labels must have shape (n, {len(self.heads)}) and n_classes be {total}, the classes of all heads; "
                f"got {tuple(labels.shape)} and {n_classes}"
            )
        return torch.cat([_one_hot(labels[:, k], head.classes) for k, head in enumerate(self.heads)], dim=1)

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        parts = [w * (torch.logsumexp(s, dim=1) - (s * y).sum(dim=1)) for w, s, y in self._blocks(S, Y)]
        return torch.stack(parts).sum(dim=0)

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        return torch.cat([w * (torch.softmax(s, dim=1) - y) for w, s, y in self._blocks(S, Y)], dim=1)

    def curvature(self, S: Tensor) -> Rows:
        """Block by block w (diag(p) - p p^T)."""
        parts = [(w, torch.softmax(s, dim=1)) for w, s, _ in self._blocks(S, S)]
        diagonal = torch.cat([w * p for w, p in parts], dim=1)
        return Rows(diagonal, torch.cat([w**0.5 * p for w, p in parts], dim=1), head_blocks(self.heads))

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        total = V.new_zeros(len(V))
        for w, v, y in self._blocks(V, Y):
            p = v / w + y
            total = total + torch.where(_in_simplex(p), w * torch.special.xlogy(p, p).sum(dim=1), torch.inf)
        return total

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:
        """Clip p = V / w + Y to be nonnegative and normalise it to sum to one, head by head, where it is no such p."""
        parts = []
        for w, v, y in self._blocks(V, Y):
            p = (v / w + y).clamp(min=0.0)
            total = p.sum(dim=1, keepdim=True)
            inside = _in_simplex(v / w + y).unsqueeze(1)
            parts.append(torch.where(inside, v, w * (torch.where(total > 0.0, p / total, y) - y)))
        return torch.cat(parts, dim=1)

    def _blocks(self, A: Tensor, B: Tensor) -> Iterator[tuple[float, Tensor, Tensor]]:
        """The weight of each head, and the columns of A and B (n, C) that belong to it."""
        if not self.heads:
            yield 1.0, A, B
        for head, block in zip(self.heads, head_blocks(self.heads), strict=True):
            chosen = slice(block.start, block.stop)
            yield head.weight, A[:, chosen], B[:, chosen]


def _in_simplex(p: Tensor) -> Tensor:
    """Which rows of p (n, C) are probabilities; the simplex has no interior, so their sum is one within rounding."""
    return (p >= 0.0).all(dim=1) & ((p.sum(dim=1) - 1.0).abs() <= 1e-12)


def head_blocks(heads: tuple[Head, ...]) -> tuple[range, ...]:
    """The scores of each head: consecutive ranges."""
    ends = [0, *itertools.accumulate(head.classes for head in heads)]
    return tuple(range(start, end) for start, end in itertools.pairwise(ends))


LOSSES: dict[str, Loss] = {loss.name: loss for loss in (Hinge(), Squared(), Logistic(), CrossEntropy())}


def loss_of(name: str, heads: tuple[Head, ...] = ()) -> Loss:
    """The loss called `name`, of several heads when they are given.

    Raises
    ------
    ValueError
        If there is no such loss, or it has no heads.
    """
    check_choice("loss", name, LOSSES)
    if heads and name != CrossEntropy.name:
        raise ValueError(f"loss must be {CrossEntropy.name!r} for several categorical outputs, not {name!r}")
    return CrossEntropy(heads) if heads else LOSSES[name]
