"""What the proof needs of a loss, exactly: bounds of its value and conjugate, and a point of its domain.

Scores, targets and dual vectors are integers over a power of two. With row weights a_i / A the data term is
F(S) = (1/A) sum_i a_i loss(y_i, S_i), and V = A U_i / a_i row by row (theory.md section 2). All functions below return
upper bounds, exact for hinge and squared, of sums over the rows without the factor 1/A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import repeat

import numpy as np

from .decimals import UP, ZERO, exp_up, ln_up, quotient, softplus_up, xlogx_up
from .integers import floor_divide, to_integers


@dataclass(frozen=True, eq=False)
class Dyadic:
    """An array of dyadic numbers, integers / 2**shift.

    Attributes
    ----------
    integers : object array of Python ints
    shift : int
    """

    integers: np.ndarray
    shift: int

    @classmethod
    def of(cls, values: np.ndarray) -> Dyadic:
        """The exact value of a float array."""
        return cls(*to_integers(values))

    def at(self, shift: int) -> np.ndarray:
        """The integers over 2**shift instead; `shift` must be at least the own one."""
        return self.integers << (shift - self.shift)


@dataclass(frozen=True)
class LossHead:
    """One categorical output: its columns of the scores, and its weight in the loss."""

    columns: slice
    weight: Fraction = Fraction(1)


@dataclass(frozen=True)
class ExactLoss:
    """One loss.

    Attributes
    ----------
    value : callable (S, Y, a, heads) -> Fraction
        Upper bound of sum_i a_i loss(y_i, S_i).
    to_domain : callable (V, Y, heads) -> Dyadic
        A point of the conjugate's domain near V, exactly in it; so is every multiple of it by t in [0, 1].
    conjugate : callable (V, Y, a, heads) -> Fraction
        Upper bound of sum_i a_i loss*(V_i), for V in the domain.
    """

    value: Callable[[Dyadic, Dyadic, np.ndarray, tuple[LossHead, ...]], Fraction]
    to_domain: Callable[[Dyadic, Dyadic, tuple[LossHead, ...]], Dyadic]
    conjugate: Callable[[Dyadic, Dyadic, np.ndarray, tuple[LossHead, ...]], Fraction]


LossHeads = tuple[LossHead, ...]


def _weighted(a: np.ndarray, rows: np.ndarray) -> int:
    """sum_i a_i times the sum of row i."""
    return int((a[:, None] * rows).sum())


def _total_up(a: np.ndarray, rows: Iterator[Decimal]) -> Fraction:
    """Upper bound of sum_i a_i r_i."""
    total = ZERO
    for weight, row in zip(a.tolist(), rows, strict=True):
        total = UP.add(total, UP.multiply(Decimal(weight), row))
    return Fraction(total)


def _hinge_value(S: Dyadic, Y: Dyadic, a: np.ndarray, heads: LossHeads) -> Fraction:  # noqa: ARG001
    return Fraction(_weighted(a, np.maximum((1 << S.shift) - Y.integers * S.integers, 0)), 1 << S.shift)


def _clip_signed(V: Dyadic, Y: Dyadic, heads: LossHeads) -> Dyadic:  # noqa: ARG001
    """-1 <= y V <= 0, the domain of hinge and logistic."""
    return Dyadic(Y.integers * np.minimum(np.maximum(Y.integers * V.integers, -1 << V.shift), 0), V.shift)


def _hinge_conjugate(V: Dyadic, Y: Dyadic, a: np.ndarray, heads: LossHeads) -> Fraction:  # noqa: ARG001
    return Fraction(_weighted(a, Y.integers * V.integers), 1 << V.shift)


def _squared_value(S: Dyadic, Y: Dyadic, a: np.ndarray, heads: LossHeads) -> Fraction:  # noqa: ARG001
    shift = max(S.shift, Y.shift)
    return Fraction(_weighted(a, (S.at(shift) - Y.at(shift)) ** 2), 1 << 2 * shift)


def _squared_conjugate(V: Dyadic, Y: Dyadic, a: np.ndarray, heads: LossHeads) -> Fraction:  # noqa: ARG001
    shift = max(V.shift, Y.shift)
    v, y = V.at(shift), Y.at(shift)
    return Fraction(_weighted(a, v * v + 4 * v * y), 4 << 2 * shift)


def _logistic_value(S: Dyadic, Y: Dyadic, a: np.ndarray, heads: LossHeads) -> Fraction:  # noqa: ARG001
    one = 1 << S.shift
    return _total_up(a, (_sum_up(softplus_up(quotient(-m, one, UP)) for m in row) for row in Y.integers * S.integers))


def _logistic_conjugate(V: Dyadic, Y: Dyadic, a: np.ndarray, heads: LossHeads) -> Fraction:  # noqa: ARG001
    one = 1 << V.shift
    entropy = lambda q: UP.add(xlogx_up(q, one), xlogx_up(one - q, one))  # noqa: E731
    return _total_up(a, (_sum_up(entropy(-q) for q in row) for row in Y.integers * V.integers))


def _cross_entropy_value(S: Dyadic, Y: Dyadic, a: np.ndarray, heads: LossHeads) -> Fraction:
    total = Fraction(0)
    for head in heads:
        scores, labels = S.integers[:, head.columns], Y.integers[:, head.columns]
        total += head.weight * _total_up(a, map(_log_loss_up, scores, labels, repeat(1 << S.shift)))
    return total


def _log_loss_up(scores: np.ndarray, labels: np.ndarray, one: int) -> Decimal:
    """Upper bound of log sum_c e^{s_c} - s_y."""
    own, largest = int((scores * labels).sum()), max(scores)
    total = _sum_up(exp_up(quotient(s - largest, one, UP)) for s in scores)
    return UP.add(quotient(largest - own, one, UP), ln_up(total))


def _simplex(V: Dyadic, Y: Dyadic, heads: LossHeads) -> Dyadic:
    """V = w (p - y) with every p exactly in the simplex: clipped, scaled down, the rest to the largest."""
    weights, shifts = zip(*((h.weight.numerator, h.weight.denominator.bit_length() - 1) for h in heads), strict=True)
    out, one = np.zeros_like(V.integers), 1 << V.shift
    for head, w, w_shift in zip(heads, weights, shifts, strict=True):
        y = Y.integers[:, head.columns] * one
        p = np.maximum(floor_divide(V.integers[:, head.columns] << w_shift, w) + y, 0)
        total = p.sum(axis=1)[:, None]
        p = np.where(total > 0, floor_divide(p * one, np.maximum(total, 1)), y)
        rows = np.arange(len(p))
        p[rows, p.argmax(axis=1)] += one - p.sum(axis=1)
        out[:, head.columns] = (p - y) * w << (max(shifts) - w_shift)
    return Dyadic(out, V.shift + max(shifts))


def _cross_entropy_conjugate(V: Dyadic, Y: Dyadic, a: np.ndarray, heads: LossHeads) -> Fraction:
    total = Fraction(0)
    for head in heads:
        # p = V / w + y as integers over `one`.
        w = head.weight
        one = w.numerator << V.shift
        p = V.integers[:, head.columns] * w.denominator + (Y.integers[:, head.columns] * one)
        total += w * _total_up(a, (_sum_up(xlogx_up(q, one) for q in row) for row in p))
    return total


def _sum_up(values: Iterator[Decimal]) -> Decimal:
    total = ZERO
    for value in values:
        total = UP.add(total, value)
    return total


LOSSES: dict[str, ExactLoss] = {
    "hinge": ExactLoss(_hinge_value, _clip_signed, _hinge_conjugate),
    "squared": ExactLoss(_squared_value, lambda V, Y, heads: V, _squared_conjugate),  # noqa: ARG005
    "logistic": ExactLoss(_logistic_value, _clip_signed, _logistic_conjugate),
    "cross_entropy": ExactLoss(_cross_entropy_value, _simplex, _cross_entropy_conjugate),
}
