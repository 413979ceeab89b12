"""The two values of a certificate as proved bounds of the exact ones.

The float64 numbers of W, U, D, targets and rho are taken as they are, row weights as proportional to what is stored.
The objective of W is then at most `enclose_primal(...).value + margin`, and no weights on the dictionary have an
objective below `enclose_dictionary_dual(...).value - margin`. Row by row, losses give their own bounds
(`DirectedLoss`).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.columns import Columns
from convexsnn.errorfree import UNIT, largest_of
from convexsnn.losses import DirectedLoss, Loss
from convexsnn.penalties import Norm, norm_below
from convexsnn.program import ConvexProgram
from convexsnn.rounding.products import Product, exact_product, exact_sums, exact_transposed
from convexsnn.rowwise import blocks_of_groups, blocks_of_rows, by_rows

# What is allowed for a loss without bounds of its own, in units of rounding of the largest number met in a row.
ROUGH = 256.0


@dataclass(frozen=True)
class Bound:
    """A computed value, and a margin that covers its rounding at least four times."""

    value: float
    margin: float

    @property
    def above(self) -> float:
        """An upper bound of the exact value."""
        return math.nextafter(self.value + self.margin, math.inf)

    @property
    def below(self) -> float:
        """A lower bound of the exact value."""
        return math.nextafter(self.value - self.margin, -math.inf)

    @property
    def provable(self) -> float:
        """The largest claim of a lower bound that is accepted: also proved, and room for another machine's rounding."""
        return self.below + 0.5 * self.margin

    def allows_below(self, claim: float) -> bool:
        """Whether a claimed lower bound is one, as computed here or elsewhere."""
        return claim <= self.provable

    def allows_above(self, claim: float) -> bool:
        """Whether a claimed upper bound is one, as computed here or elsewhere."""
        return claim >= self.above - 0.5 * self.margin


def enclose_primal(program: ConvexProgram, W: Tensor) -> Bound:
    """The objective of weights W (P, C)."""
    W = W.to(torch.float64)

    def values(part: Columns, rows: slice) -> Tensor:
        return torch.stack(_values(program.loss, exact_product(part, W), program.targets[rows]), dim=1)

    rows, margins = program.columns.each_row(values).unbind(dim=1)
    data, margin = _weighted(program, rows), _weighted(program, margins)
    short = min(1.0, _total(program.row_weights))
    penalty = program.rho * float(program.penalty.value(program.penalised(W)))
    count = int((W != 0).sum()) + 16
    return Bound(data / short + penalty, 4.0 * (margin + UNIT * (8.0 * data + count * penalty)))


def enclose_dual(program: ConvexProgram, U: Tensor, kappa: float, times: float = 1.0) -> Bound:
    """-F*(t V) for V = times * U (n, C) in the domain of F*, t the largest factor with t kappa <= 1 and t <= 1.

    Where `kappa` is an upper bound of N*(D^T V) / rho, with N the norm of the penalty, no weights on the columns have
    an objective below this: it holds for F + rho N, and Omega >= N. Entries that the domain determines from others,
    such as that of the label under cross entropy, are taken to be what they must be (`completion`).
    """
    factor, w = _feasible_factor(program, U, kappa, times), program.row_weights.unsqueeze(1)

    def conjugates(rows: slice) -> Tensor:
        return torch.stack(
            _conjugates(program.loss, (U[rows] * times / w[rows]) * factor, program.targets[rows]), dim=1
        )

    rows, margins = by_rows(conjugates, program.n_rows).unbind(dim=1)
    value, margin = -_weighted(program, rows), _weighted(program, margins)
    over = max(1.0, _total(program.row_weights))
    return Bound(value / over, 4.0 * (margin + 8.0 * UNIT * abs(value)))


def enclose_dictionary_dual(program: ConvexProgram, U: Tensor) -> Bound:
    """The dual value of the largest feasible multiple t U, t <= 1, of a vector U (n, C) in the domain of F*.

    It is -F*(t U) - (rho Omega)*(t D^T U), over the columns of the program.
    """
    penalty, rho, size = program.penalty, program.rho, _product_sizes(program, U)
    up = 1.0 + (U.shape[1] + 8) * UNIT
    excess = penalty.excess(size, rho) * up
    data = enclose_dual(program, U, excess)
    size = size * _feasible_factor(program, U, excess)
    # The conjugate grows with every entry, and its terms are nonnegative.
    taken, above = float(penalty.conjugate(size, rho)), float(penalty.conjugate(size * up, rho))
    rounding = (above - taken) + UNIT * (len(size) + 16) * above
    return Bound(data.value - taken, data.margin + 4.0 * rounding)


def dictionary_kappa(program: ConvexProgram, U: Tensor) -> float:
    """An upper bound of N*(D^T U) / rho over the columns of the program, for U (n, C) and its completion."""
    return _over_rho(program, float(_norm(program).dual_norm(_product_sizes(program, U))))


def grouped_kappa(program: ConvexProgram, U: Tensor, groups: Tensor) -> float:
    """Kappa over all patterns d in [0, 1]^n that are constant on groups (n,) of rows.

    |d^T U| of an output is at most the larger of the sums of positive and of negative parts over the groups: each is
    attained by a pattern.
    """
    U, loss, parts = U.to(torch.float64), program.loss, list[list[float]]()
    for rows, own, _ in blocks_of_groups(groups):
        some = U[rows]
        rest = loss.completion(some, program.targets[rows]) if isinstance(loss, DirectedLoss) else None
        parts.append(_sides_above(some, rest, own))
    sides = [part[0] if len(part) == 1 else _sum_above(U.new_tensor(part)) for part in zip(*parts, strict=True)]
    caps = U.new_tensor(sides).view(-1, 2).amax(dim=1)
    return _over_rho(program, float(_norm(program).row_norm_within(caps)))


def _sides_above(U: Tensor, rest: Tensor | None, groups: Tensor) -> list[float]:
    """Upper bounds of the sums of positive, and of negative, parts of U + rest over the groups, output by output."""
    sizes, found = (largest_of(U), 0.0 if rest is None else largest_of(rest)), []
    for c in range(U.shape[1]):
        output = slice(c, c + 1)
        sums = exact_sums(U[:, output], groups, sizes[0])
        if rest is not None:
            sums = sums.plus(exact_sums(rest[:, output], groups, sizes[1]))
        for sign in (1.0, -1.0):
            parts = (sign * (sums.head + sums.tail)).clamp(min=0.0) * (1.0 + 4.0 * UNIT) + sums.error
            found.append(_sum_above(parts.squeeze(1)))
    return found


def _product_sizes(program: ConvexProgram, U: Tensor) -> Tensor:
    """An upper bound of the absolute value of each entry of D^T U (P, C), for U (n, C) and its completion."""
    U = U.to(torch.float64)
    rest = completion(program, U)
    first, *others = exact_transposed(program.columns, [U] if rest is None else [U, rest])
    return first.plus(others[0]).size if others else first.size


def _feasible_factor(program: ConvexProgram, U: Tensor, kappa: float, times: float = 1.0) -> float:
    """The largest t <= 1 with t kappa <= 1 for which t times U, completed, lies in the domain of F*."""
    scale, loss = 1.0, program.loss
    if isinstance(loss, DirectedLoss):
        w, Y = program.row_weights.unsqueeze(1), program.targets
        scale = max(loss.excess(U[rows] * times / w[rows], Y[rows]) for rows in blocks_of_rows(program.n_rows))
    return 1.0 / max(1.0, kappa, scale)


def pattern_kappa(program: ConvexProgram, U: Tensor, kappa: float) -> float:
    """An upper bound of N*(d^T U) / rho over patterns d in [0, 1]^n, of which `kappa` was computed in float64.

    The classical bound of a sum of n numbers in any order (Higham, Accuracy and Stability, section 3.1).
    """
    rest = completion(program, U)
    sizes = U.abs().sum(dim=0) * (2.0 * (len(U) + 8) * UNIT)
    sizes = sizes if rest is None else sizes + rest.abs().sum(dim=0) * (1.0 + 1e-9)
    return (kappa + float(_norm(program).row_norm_within(sizes)) / program.rho) * (1.0 + 16.0 * UNIT)


def _sum_above(values: Tensor) -> float:
    """An upper bound of the sum of values (n,)."""
    return math.nextafter(_sum(values), math.inf)


def _norm(program: ConvexProgram) -> Norm:
    return norm_below(program.penalty, "a bound of D^T U")


def _over_rho(program: ConvexProgram, norm: float) -> float:
    """Norm / rho, rounded up with the rounding of the norm of a row."""
    return norm / program.rho * (1.0 + (program.n_outputs + 8) * UNIT)


def completion(program: ConvexProgram, U: Tensor) -> Tensor | None:
    """What U lacks to the exact domain of F*, (n, C); None where it lacks nothing."""
    loss, whole = program.loss, None
    if not isinstance(loss, DirectedLoss):
        return None
    for rows in blocks_of_rows(program.n_rows):
        part = loss.completion(U[rows], program.targets[rows])
        if part is not None:
            whole = torch.zeros_like(U) if whole is None else whole
            whole[rows] = part
    return whole


def _values(loss: Loss, S: Product, Y: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(loss, DirectedLoss):
        return loss.value_within(S.head, S.tail, S.error, Y)
    value, slope = loss.value(S.head, Y), loss.gradient(S.head, Y).abs()
    return value, ROUGH * UNIT * (value.abs() + ((slope + 1.0) * (S.head.abs() + _largest(Y))).sum(dim=1))


def _conjugates(loss: Loss, V: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(loss, DirectedLoss):
        return loss.conjugate_within(V, Y)
    value = loss.conjugate(V, Y)
    return value, ROUGH * UNIT * (value.abs() + (V.abs() * (1.0 + _largest(Y))).sum(dim=1))


def _largest(Y: Tensor) -> Tensor:
    """The largest target of each row, (n, 1): targets may be of another width than outputs."""
    return Y.abs().reshape(len(Y), -1).amax(dim=1, keepdim=True)


def _weighted(program: ConvexProgram, rows: Tensor) -> float:
    """sum_i w_i r_i, rounded once beside the products."""
    return _sum(program.row_weights * rows)


def _total(row_weights: Tensor) -> float:
    """The sum of the row weights, rounded once."""
    return _sum(row_weights)


def _sum(values: Tensor) -> float:
    """The sum of values (n,), rounded once."""
    blocks = blocks_of_rows(len(values))
    return math.fsum(itertools.chain.from_iterable(values[block].tolist() for block in blocks))
