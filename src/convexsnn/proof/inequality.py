"""The proof itself: dual <= optimum <= primal of the convex program (P) of theory.md section 2, without rounding.

With row weights a_i / A, a dictionary D of floats, such as zeros and ones, and rho a rational,

    (P)  min_W (1/A) sum_i a_i loss(y_i, (D W)_i) + rho Omega(W)

- primal: the program's objective at the stored W, which no optimum exceeds. Every number in it is a float64, so a
  rational. Exact for hinge and squared with l1; else rounded up.
- dual: the stored dual vector is rounded to a grid on which it lies in the domain of the conjugate exactly, and is
  scaled by a dyadic t so that Omega*(D^T U) <= rho holds in integers. Any such vector gives a lower bound (weak
  duality), so nothing about the solver, nor the rounding, is trusted. Its value is exact or rounded down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from .integers import floor_divide, integer_product, to_integers
from .losses import LOSSES, Dyadic, LossHead

# Bits of the largest entry of the dual vector on its grid, and of the factor t.
GRID_BITS = 64


@dataclass(frozen=True, eq=False)
class ExactProgram:
    """The convex program as exact data.

    Attributes
    ----------
    columns : bool or float64 array of shape (n, P)
        D, every float as the dyadic rational that it is. Equal and all-zero columns do no harm; with the penalty ridge,
        which would share a weight out among equal ones, such columns are one.
    targets : float64 array of shape (n, C)
        Encoded labels: +-1 for hinge and logistic, one-hot for cross entropy, real for squared.
    row_weights : float64 array of shape (n,)
        Positive; normalised to sum to one exactly, so that equal weights are exactly 1/n.
    loss : {"hinge", "squared", "logistic", "cross_entropy"}
    penalty : {"l1", "group", "ridge"}
    rho : Fraction
    heads : tuple of LossHead
        Of cross entropy; one of all outputs where there is one.
    free : int or None
        The column of ones whose weights are not penalised: the intercept. The dual vector must then sum to zero.
    """

    columns: np.ndarray
    targets: np.ndarray
    row_weights: np.ndarray
    loss: str
    penalty: str
    rho: Fraction
    heads: tuple[LossHead, ...]
    free: int | None = None


@dataclass(frozen=True)
class Proof:
    """What was proved: dual <= optimum <= primal.

    Attributes
    ----------
    primal, dual : Fraction
        Exact numbers: an upper bound of the objective of W (its value where `exact`), and a lower bound of the optimum.
    exact : bool
        Whether rational arithmetic sufficed; else logarithms, exponentials or square roots were rounded outwards.
    """

    primal: Fraction
    dual: Fraction
    exact: bool

    @property
    def gap(self) -> Fraction:
        """Primal minus dual."""
        return self.primal - self.dual

    @property
    def relative_gap(self) -> Fraction | None:
        """The gap over |primal|; None where primal is zero and the gap is not."""
        if self.gap == 0:
            return Fraction(0)
        return self.gap / abs(self.primal) if self.primal else None


def prove(program: ExactProgram, W: np.ndarray, U: np.ndarray) -> Proof:
    """Prove dual <= optimum <= primal from weights and any dual candidate.

    Parameters
    ----------
    program : ExactProgram
    W : float64 array of shape (P, C), finite
    U : float64 array of shape (n, C), finite

    Raises
    ------
    ValueError
        When a shape does not fit, a number is not finite, a row weight or rho is not positive, the targets are not of
        the loss, or with the penalty ridge two equal columns have weight.
    """
    _check(program, W, U)
    program, W = _with_equal_columns_as_one(program, W)
    rational = program.penalty in ("l1", "ridge") or W.shape[1] == 1
    exact = program.loss in ("hinge", "squared") and rational
    return Proof(primal_bound(program, W), dual_bound(program, U), exact)


def _with_equal_columns_as_one(program: ExactProgram, W: np.ndarray) -> tuple[ExactProgram, np.ndarray]:
    """The program on its distinct columns, and the weights of these, where the penalty is ridge."""
    if program.penalty != "ridge":
        return program, W
    columns, column_of = np.unique(program.columns, axis=1, return_inverse=True)
    used = np.flatnonzero(W.any(axis=1))
    if len(np.unique(column_of[used])) < len(used):
        raise ValueError("W must have weight on one of equal columns only, as the penalty is ridge")
    merged = np.zeros((columns.shape[1], W.shape[1]))
    merged[column_of[used]] = W[used]
    free = None if program.free is None else int(column_of[program.free])
    return replace(program, columns=columns, free=free), merged


def primal_bound(program: ExactProgram, W: np.ndarray) -> Fraction:
    """An upper bound of the objective at W; its exact value for hinge and squared with l1 or ridge."""
    weights, shift = to_integers(W)
    scores, own = integer_product(program.columns, weights)
    S = Dyadic(scores, shift + own)
    a = _row_integers(program.row_weights)
    data = LOSSES[program.loss].value(S, Dyadic.of(program.targets), a, program.heads) / int(a.sum())
    penalised = weights if program.free is None else np.delete(weights, program.free, axis=0)
    return data + program.rho * _penalty_up(penalised, shift, program.penalty)


def dual_bound(program: ExactProgram, U: np.ndarray) -> Fraction:
    """A lower bound of the optimum from any dual candidate U."""
    a = _row_integers(program.row_weights)
    total, loss, Y = int(a.sum()), LOSSES[program.loss], Dyadic.of(program.targets)
    V = loss.to_domain(_on_grid(U, a, total), Y, program.heads)
    if program.free is not None and (a[:, None] * V.integers).sum(axis=0).any():
        raise ValueError("U must sum to zero in each output, as the intercept is free, and rows must weigh the same")
    products, own = integer_product(program.columns.T, a[:, None] * V.integers)  # total * 2**(shift + own) * D^T U
    unit = total * (1 << (V.shift + own))
    if program.penalty == "ridge":  # every U is feasible, at the cost of |D^T U|^2 / (2 rho)
        taken = Fraction(int((products * products).sum()), unit * unit) / (2 * program.rho)
        return -loss.conjugate(V, Y, a, program.heads) / total - taken
    t, bits = _feasible_factor(products, program.penalty, program.rho * unit)
    scaled = Dyadic(V.integers * t, V.shift + bits)
    return -loss.conjugate(scaled, Y, a, program.heads) / total


def _row_integers(row_weights: np.ndarray) -> np.ndarray:
    """The row weights as integers a_i without common factor: a_i / sum(a) are the weights, 1/n where they are equal."""
    a, _ = to_integers(row_weights)
    return a // math.gcd(*a.tolist())


def _on_grid(U: np.ndarray, a: np.ndarray, total: int) -> Dyadic:
    """V = total U_i / a_i on a grid on which its largest entry has GRID_BITS bits or more, and every U_i its own.

    At tiny rho the products D^T U all but cancel, so that no bit of U may be lost.
    """
    integers, shift = to_integers(U)
    numerators = integers * total
    largest = max((abs(v) // int(w) for v, w in zip(abs(numerators).max(axis=1), a, strict=True)), default=0)
    bits = max(shift, GRID_BITS - (largest.bit_length() - shift))
    return Dyadic(floor_divide(numerators << bits, a[:, None] << shift), bits)


def _feasible_factor(products: np.ndarray, penalty: str, limit: Fraction) -> tuple[int, int]:
    """The largest t <= 1 with Omega*(t * products) <= limit: an integer of GRID_BITS bits, over 2 to the second."""
    square = 0
    if products.size:
        square = int(((products * products).sum(axis=1) if penalty == "group" else products * products).max())
    if square == 0:
        return 1, 0
    bits = GRID_BITS + max(0, math.isqrt(square).bit_length() - int(limit).bit_length())
    room = limit * (1 << bits)
    return min(1 << bits, math.isqrt(int(room * room // square))), bits


def _penalty_up(weights: np.ndarray, shift: int, penalty: str) -> Fraction:
    """Upper bound of Omega of weights / 2**shift: exact for l1 and ridge; else roots are rounded up."""
    if penalty == "l1":
        return Fraction(int(abs(weights).sum()), 1 << shift)
    if penalty == "ridge":
        return Fraction(int((weights * weights).sum()), 2 << 2 * shift)
    squares = (int(s) << 2 * GRID_BITS for s in (weights * weights).sum(axis=1) if s)
    return Fraction(sum(_root_up(s) for s in squares), 1 << (shift + GRID_BITS))


def _root_up(square: int) -> int:
    root = math.isqrt(square)
    return root if root * root == square else root + 1


def _check(program: ExactProgram, W: np.ndarray, U: np.ndarray) -> None:
    (n, P), C = program.columns.shape, program.targets.shape[1]
    shapes = {"W": (W, (P, C)), "U": (U, (n, C)), "targets": (program.targets, (n, C))}
    for name, (array, shape) in (shapes | {"row_weights": (program.row_weights, (n,))}).items():
        if array.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
        if array.dtype != np.float64 or not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite float64")
    if program.columns.dtype not in (np.bool_, np.float64) or not np.isfinite(program.columns).all():
        raise ValueError(f"columns must be bool or finite float64, got {program.columns.dtype}")
    if program.free is not None and not (program.columns[:, program.free] == 1).all():
        raise ValueError(f"column {program.free}, of the free intercept, must be ones")
    if not (program.row_weights > 0).all():
        raise ValueError("row_weights must be positive")
    if program.rho <= 0:
        raise ValueError(f"rho must be positive, got {program.rho}")
    if program.loss not in LOSSES or program.penalty not in ("l1", "group", "ridge"):
        raise ValueError(
            f"loss {program.loss!r} and penalty {program.penalty!r} are not both known here: there is an exact proof "
            f"for the losses {', '.join(LOSSES)} with the penalties l1, group and ridge"
        )
    if program.loss in ("hinge", "logistic") and not (abs(program.targets) == 1).all():
        raise ValueError(f"targets of {program.loss} must be +-1")
    if program.loss == "cross_entropy":
        _check_one_hot(program.targets, program.heads)


def _check_one_hot(targets: np.ndarray, heads: tuple[LossHead, ...]) -> None:
    covered = [c for head in heads for c in range(targets.shape[1])[head.columns]]
    if covered != list(range(targets.shape[1])) or any(head.weight <= 0 for head in heads):
        raise ValueError("heads must have positive weights and cover the outputs in order")
    if not np.isin(targets, (0.0, 1.0)).all() or any((targets[:, h.columns].sum(axis=1) != 1).any() for h in heads):
        raise ValueError("targets of cross_entropy must be one-hot in each head")
