"""Softmax cross entropy, of one categorical output or of several."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.checks import check_integer, check_real
from convexsnn.errorfree import UNIT, two_sum
from convexsnn.losses.balance import balanced_probabilities
from convexsnn.losses.coding import entropy_margin, one_hot
from convexsnn.losses.protocol import Head, TargetKind
from convexsnn.row_matrices import RowMatrices


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross entropy, y one-hot; with v = p - y, p in the simplex, the conjugate is sum_c p_c log p_c.

    With several `heads` the scores are that many blocks, and the loss is the weighted sum of one softmax cross entropy
    a block. The conjugate of a sum over separate variables is the sum of the conjugates, and (w f)*(v) = w f*(v / w).
    So the conjugate is sum_h w_h sum_c p_hc log p_hc with v_h = w_h (p_h - y_h).

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
    separable: ClassVar[bool] = False
    target_kinds: ClassVar[frozenset[TargetKind]] = frozenset({"classes"})
    heads: tuple[Head, ...] = ()

    def __post_init__(self) -> None:
        check_heads(self.heads)

    def with_heads(self, heads: tuple[Head, ...]) -> CrossEntropy:
        """The loss of several categorical outputs, in place of those it has."""
        return CrossEntropy(heads)

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        """Class indices (n,) as one-hot rows (n, n_classes); with heads (n, H), n_classes those of all heads."""
        if not self.heads:
            return one_hot(labels, n_classes)
        total = sum(head.classes for head in self.heads)
        if n_classes != total or labels.ndim != 2 or labels.shape[1] != len(self.heads):
            raise ValueError(
                f"labels must have shape (n, {len(self.heads)}) and n_classes be {total}, the classes of all heads; "
                f"got {tuple(labels.shape)} and {n_classes}"
            )
        return torch.cat([one_hot(labels[:, k], head.classes) for k, head in enumerate(self.heads)], dim=1)

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        """Right in every digit also where the label has nearly all of the probability."""
        parts = [w * _log_one_plus(_ahead(s, y)) for w, s, y in self._blocks(S, Y)]
        return torch.stack(parts).sum(dim=0)

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        """See `value`: the entry of the label is minus the sum of the others."""
        parts = []
        for w, s, y in self._blocks(S, Y):
            others = _softmax(s) * (1.0 - y)
            parts.append(w * (others - y * others.sum(dim=1, keepdim=True)))
        return torch.cat(parts, dim=1)

    def curvature(self, S: Tensor, Y: Tensor) -> RowMatrices:
        """Block by block w (diag(p) - p p^T)."""
        parts = [(w, _softmax(s)) for w, s, _ in self._blocks(S, Y)]
        diagonal = torch.cat([w * p for w, p in parts], dim=1)
        return RowMatrices(diagonal, torch.cat([w**0.5 * p for w, p in parts], dim=1), head_blocks(self.heads))

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        total = V.new_zeros(len(V))
        for w, v, y in self._blocks(V, Y):
            total = total + torch.where(_in_simplex(v / w + y), -w * _entropy(*_other_classes(v / w, y)), torch.inf)
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

    def probabilities(self, S: Tensor) -> Tensor:
        """Class probabilities (n, classes) of the scores of one head."""
        return _softmax(S)

    def value_within(self, S: Tensor, tail: Tensor, error: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        """As log(1 + sum_c e^(s_c - s_y)) over the other classes c, which is right in every digit also near zero."""
        total, margin = S.new_zeros(len(S)), S.new_zeros(len(S))
        for (w, s, y), (_, t, e) in zip(self._blocks(S, Y), self._blocks(tail, error), strict=True):
            own = y.argmax(dim=1, keepdim=True)
            ahead, lost = two_sum(s, -s.gather(1, own).expand_as(s))
            lost = lost + (t - t.gather(1, own))
            change = lost.abs() + e + e.gather(1, own) + 2.0 * UNIT * ahead.abs()
            low, high = (_log_one_plus(torch.where(y > 0, -torch.inf, x)) for x in (ahead + lost, ahead + change))
            total += w * low
            margin += w * ((high - low).abs() + (s.shape[1] + 32) * UNIT * high)
        return total, margin

    def conjugate_within(self, V: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        total, margin = V.new_zeros(len(V)), V.new_zeros(len(V))
        for w, v, y in self._blocks(V, Y):
            p, missing = _other_classes(v / w, y)
            total -= w * _entropy(p, missing)
            rounding = entropy_margin(p, torch.zeros_like(p)).sum(dim=1) + entropy_margin(0.0 * missing, missing)
            margin += w * (v.shape[1] + 8) * rounding
        return total, margin

    def completion(self, U: Tensor, Y: Tensor) -> Tensor:
        """The entries of a head sum to zero: what is missing is added to that of the label."""
        parts = []
        for _, u, y in self._blocks(U, Y):
            total, rest = u.new_zeros(len(u)), u.new_zeros(len(u))
            for column in u.unbind(dim=1):
                total, lost = two_sum(total, column)
                rest = rest + lost
            parts.append(-(total + rest).unsqueeze(1) * y)
        return torch.cat(parts, dim=1)

    def balanced(self, U: Tensor, Y: Tensor, weights: Tensor) -> Tensor:
        """See `BalancedLoss`."""
        return torch.cat([balanced_probabilities(u, y, w * weights) for w, u, y in self._blocks(U, Y)], dim=1)

    def excess(self, V: Tensor, Y: Tensor) -> float:
        """The largest sum of the probabilities of the classes other than the label."""
        sums = [torch.where(y > 0, 0.0, v / w).sum(dim=1).max() for w, v, y in self._blocks(V, Y)]
        return float(torch.stack(sums).max()) * (1.0 + (V.shape[1] + 8) * UNIT)

    def _blocks(self, A: Tensor, B: Tensor) -> Iterator[tuple[float, Tensor, Tensor]]:
        """The weight of each head, and the columns of A and B (n, C) that belong to it."""
        if not self.heads:
            yield 1.0, A, B
        for head, block in zip(self.heads, head_blocks(self.heads), strict=True):
            chosen = slice(block.start, block.stop)
            yield head.weight, A[:, chosen], B[:, chosen]


def _softmax(s: Tensor) -> Tensor:
    """Probabilities of scores (n, C), four times as fast as `torch.softmax` on ten float64 scores a row."""
    odds = torch.exp(s - s.amax(dim=1, keepdim=True))
    return odds / odds.sum(dim=1, keepdim=True)


def _in_simplex(p: Tensor) -> Tensor:
    """Which rows of p (n, C) are probabilities; the simplex has no interior, so their sum is one within rounding."""
    return (p >= 0.0).all(dim=1) & ((p.sum(dim=1) - 1.0).abs() <= 1e-12)


def _ahead(s: Tensor, y: Tensor) -> Tensor:
    """How far the score of each class is above that of the label; -inf for the label itself."""
    return torch.where(y > 0, -torch.inf, s - (s * y).sum(dim=1, keepdim=True))


def _other_classes(v: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Of p = v + y (n, C): the probabilities of the classes that are not the label, and their sum (n,)."""
    p = torch.where(y > 0, 0.0, v).clamp(min=0.0)
    return p, p.sum(dim=1).clamp(max=1.0)


def _entropy(p: Tensor, missing: Tensor) -> Tensor:
    """-sum_c p_c log p_c of all classes, from `_other_classes`: right in every digit also near the label."""
    return torch.special.entr(p).sum(dim=1) - torch.special.xlog1py(1.0 - missing, -missing)


def _log_one_plus(x: Tensor) -> Tensor:
    """log(1 + sum_c e^(x_c)) of each row of x (n, C)."""
    largest = x.amax(dim=1).clamp(min=0.0)
    others = torch.exp(x - largest.unsqueeze(1)).sum(dim=1)
    return largest + torch.where(largest > 0.0, torch.log(torch.exp(-largest) + others), torch.log1p(others))


def check_heads(heads: tuple[Head, ...]) -> None:
    """ValueError if a head has no class, or a weight that is not positive."""
    for k, head in enumerate(heads):
        check_integer(f"the classes of head {k}", head.classes)
        check_real(f"the weight of head {k}", head.weight, 0.0, open_minimum=True)


def head_blocks(heads: tuple[Head, ...]) -> tuple[range, ...]:
    """The scores of each head: consecutive ranges."""
    ends = [0, *itertools.accumulate(head.classes for head in heads)]
    return tuple(range(start, end) for start, end in itertools.pairwise(ends))
