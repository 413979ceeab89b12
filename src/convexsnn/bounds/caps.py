"""The optimum of the universal program, min over caps a, b >= 0 of G(a, b) + rho * sum_c (a_c + b_c).

Where every pattern can be had, a score delta costs max(delta+) + max(delta-) for each output, as its level sets are
nested. So the program is one in the caps alone. G(a, b) is the least F over scores in [-b_c, a_c] that are constant on
groups of equal rows, and the groups separate. Its gradient at the best scores is the dual vector. For losses that are
sums over outputs, a and b separate as well, and each is the root of a monotone function. The hinge has a closed form.
The softmax couples the outputs of a head, and takes a search over its 2C caps. Other losses are refused.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.bounds.rows import sum_groups
from convexsnn.bounds.softmax_caps import softmax_dual, softmax_scores
from convexsnn.losses import CrossEntropy, Loss, head_blocks, is_hinge
from convexsnn.program import ConvexProgram
from convexsnn.rowwise import blocks_of_groups, by_rows

# Halvings of an interval: enough to reach neighbouring float64 numbers from any bracket met here.
HALVINGS = 70


def has_caps(loss: Loss) -> bool:
    """Whether the universal program of a loss is solved here."""
    return loss.separable or isinstance(loss, CrossEntropy)


def capped_dual(program: ConvexProgram, groups: Tensor, rho: float) -> Tensor:
    """The dual vector (rows, C) of the universal program with l1 weight `rho`, feasible up to rounding.

    Parameters
    ----------
    program : ConvexProgram
        Loss, targets and row weights are used.
    groups : int64 tensor of shape (rows,)
        As `equal_prefixes` gives them.
    rho : float

    Raises
    ------
    ValueError
        For a loss that couples the outputs, unless it is cross entropy.
    """
    _check_loss(program.loss)
    if is_hinge(program.loss):
        return _hinge(program, groups, rho)
    if isinstance(program.loss, CrossEntropy):
        parts = [softmax_dual(Y, weights, groups, rho) for Y, weights in _heads(program)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
    return program.data_gradient(_separable_scores(program, groups, rho)[groups])


def capped_scores(program: ConvexProgram, groups: Tensor, rho: float) -> Tensor:
    """The best scores of that program, one row a group: (groups, C); see `capped_dual`."""
    _check_loss(program.loss)
    if is_hinge(program.loss):
        merged = sum_groups(program.targets * program.row_weights.unsqueeze(1), groups)
        caps = [((sign * merged).clamp(min=0.0).sum(dim=0) > rho).to(merged.dtype) for sign in (1.0, -1.0)]
        return torch.where(merged > 0.0, caps[0], torch.where(merged < 0.0, -caps[1], 0.0))
    if isinstance(program.loss, CrossEntropy):
        parts = [softmax_scores(Y, weights, groups, rho) for Y, weights in _heads(program)]
        first = groups.new_zeros(int(groups.max()) + 1)
        first[groups.flip(0)] = torch.arange(len(groups), device=groups.device).flip(0)
        return torch.cat(parts, dim=1)[first]
    return _separable_scores(program, groups, rho)


def _check_loss(loss: Loss) -> None:
    if not has_caps(loss):
        raise ValueError(
            f"the universal program needs a loss that is a sum over the outputs, or cross entropy, not {loss.name!r}"
        )


def _heads(program: ConvexProgram) -> list[tuple[Tensor, Tensor]]:
    """Targets and row weights of each head of a softmax cross entropy."""
    blocks = head_blocks(program.loss.heads) or (range(program.n_outputs),)
    weights = [head.weight for head in program.loss.heads] or [1.0]
    return [
        (program.targets[:, block.start : block.stop], w * program.row_weights)
        for block, w in zip(blocks, weights, strict=True)
    ]


def _hinge(program: ConvexProgram, groups: Tensor, rho: float) -> Tensor:
    """F_g is linear between -1 and 1, so each cap is 0 or 1.

    The dual vector with U_i = -y_i w_i on all rows has the value 1; where its positive (negative) parts sum to more
    than rho over the groups, the majority rows of those groups give way in proportion.
    """
    Y, w = program.targets, program.row_weights.unsqueeze(1)
    U = -Y * w
    merged = sum_groups(U, groups)
    majority = sum_groups(torch.where(U * merged[groups] > 0.0, U, 0.0), groups)
    keep = torch.ones_like(merged)
    for sign in (1.0, -1.0):
        part = (sign * merged).clamp(min=0.0)
        tau = (rho / part.sum(dim=0).clamp(min=1e-300)).clamp(max=1.0)
        # Of the majority's total |m|, the surplus |s| over the minority shrinks to tau |s|.
        shrunk = 1.0 - (1.0 - tau) * merged / torch.where(majority != 0.0, majority, 1.0)
        keep = torch.where(sign * merged > 0.0, shrunk, keep)
    return torch.where(U * merged[groups] > 0.0, U * keep[groups], U)


def _separable_scores(program: ConvexProgram, groups: Tensor, rho: float) -> Tensor:
    """The best scores (groups, C); caps by bisection: sum_g max(0, -F_g'(a)) falls with a and is rho at the best."""
    parts = _parts(program, groups)
    upper, lower = (_cap(parts, rho, sign) for sign in (1.0, -1.0))
    return torch.cat([_scores_within(part, -lower, upper) for part in parts])


class _Part(NamedTuple):
    """Some groups, with all of their rows.

    Attributes
    ----------
    loss : Loss
    targets : float64 tensor of shape (rows, C)
    weights : float64 tensor of shape (rows, 1)
    groups : int64 tensor of shape (rows,)
        Numbered from 0.
    size : int
        How many groups there are.
    """

    loss: Loss
    targets: Tensor
    weights: Tensor
    groups: Tensor
    size: int

    def slopes(self, delta: Tensor) -> Tensor:
        """F_g' at scores (groups, C)."""
        spread, w, Y = delta[self.groups], self.weights, self.targets
        gradient = by_rows(lambda rows: w[rows] * self.loss.gradient(spread[rows], Y[rows]), len(spread))
        return sum_groups(gradient, self.groups)


def _parts(program: ConvexProgram, groups: Tensor) -> list[_Part]:
    """The groups, a block of them at a time."""
    Y, w = program.targets, program.row_weights.unsqueeze(1)
    return [
        _Part(program.loss, Y[block.rows], w[block.rows], block.groups, block.size)
        for block in blocks_of_groups(groups)
    ]


def _scores_within(part: _Part, low_cap: Tensor, high_cap: Tensor) -> Tensor:
    """The best scores (groups, C) of a part, between caps of shape (C,)."""
    low, high = low_cap.repeat(part.size, 1), high_cap.repeat(part.size, 1)
    low_slope, high_slope = part.slopes(low), part.slopes(high)
    low, high = torch.where(high_slope <= 0.0, high, low), torch.where(low_slope >= 0.0, low, high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        rising = part.slopes(middle) > 0.0
        low, high = torch.where(rising, low, middle), torch.where(rising, middle, high)
    return (low + high) / 2.0


def _cap(parts: list[_Part], rho: float, sign: float) -> Tensor:
    """The cap of each output on scores of that sign, shape (C,)."""

    def falling(cap: Tensor) -> Tensor:
        total = torch.zeros_like(cap)
        for part in parts:
            total += (-sign * part.slopes((sign * cap).repeat(part.size, 1))).clamp(min=0.0).sum(dim=0)
        return total

    like = parts[0].targets
    low, high = like.new_zeros(like.shape[1]), like.new_ones(like.shape[1])
    for _ in range(100):
        beyond = falling(high) > rho
        if not bool(beyond.any()):
            break
        high = torch.where(beyond, 2.0 * high, high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        beyond = falling(middle) > rho
        low, high = torch.where(beyond, middle, low), torch.where(beyond, high, middle)
    return torch.where(falling(torch.zeros_like(low)) <= rho, 0.0, high)
