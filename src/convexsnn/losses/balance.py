"""Dual vectors whose columns sum to zero exactly, in the domain of F*: those of a program with a free intercept.

Entries are rounded towards zero to multiples of one power of two, so that sums are sums of integers. What a column
then sums to is taken from its largest entries, or moved to other columns. So D^T U changes by no more than these sums,
for columns of D in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# Bits of an entry, and of the sum of a column, as integers.
ENTRY_BITS, SUM_BITS = 52, 62


def balanced_entries(U: Tensor) -> Tensor:
    """U (n, C) with columns that sum to zero, for a loss that is a sum over the outputs: its domain holds 0 and U."""
    return _in_integers(U, float(U.abs().max()) if U.numel() else 0.0, _balance_columns)


def balanced_probabilities(U: Tensor, Y: Tensor, weights: Tensor) -> Tensor:
    """U (n, C) with rows and columns that sum to zero, for U = w (p - y), p probabilities and y one-hot.

    Where an output has too much, rows move some of its probability to outputs that lack it.

    Parameters
    ----------
    U, Y : float64 tensors of shape (n, C)
    weights : float64 tensor of shape (n,)
        w, of the rows.
    """
    own = Y > 0

    def balance(units: Tensor, unit: float) -> Tensor:
        units = torch.where(own, 0, units)
        units = torch.where(own, -units.sum(dim=1, keepdim=True), units)
        whole = (weights / unit).floor().to(torch.int64).unsqueeze(1)
        for c, surplus in enumerate(units.sum(dim=0).tolist()):
            for other, sum_of_other in enumerate(units.sum(dim=0).tolist()):
                moved = _shares(torch.where(own, whole + units, units)[:, c], min(surplus, -sum_of_other))
                surplus -= int(moved.sum())
                units[:, c] -= moved
                units[:, other] += moved
        return units if not units.sum(dim=0).any() else torch.zeros_like(units)

    return _in_integers(U, float(weights.max()), balance)


def _in_integers(U: Tensor, largest: float, change: Callable[[Tensor, float], Tensor]) -> Tensor:
    """U (n, C), of entries up to `largest`, rounded towards zero to integers times a unit, and changed as such."""
    if largest == 0.0:
        return torch.zeros_like(U)
    bits = min(ENTRY_BITS, SUM_BITS - len(U).bit_length())
    unit = math.ldexp(1.0, max(-1000, math.frexp(largest)[1] - bits))
    return change((U / unit).trunc().to(torch.int64), unit).to(U.dtype) * unit


def _balance_columns(units: Tensor, unit: float) -> Tensor:  # noqa: ARG001 - the same for every unit
    for column in units.unbind(dim=1):
        excess = int(column.sum())
        sign = 1 if excess > 0 else -1
        column -= sign * _shares((sign * column).clamp(min=0), abs(excess))
    return units


def _shares(available: Tensor, wanted: int) -> Tensor:
    """What to take of each of some integers (k,) so that it sums to `wanted`, or to as much as there is; largest first.

    Nothing is taken where `wanted` is not positive.
    """
    if wanted <= 0:
        return torch.zeros_like(available)
    order = available.argsort(descending=True, stable=True)
    most = available[order].clamp(min=0)
    before = most.cumsum(0) - most
    return torch.zeros_like(available).index_copy_(0, order, torch.minimum((wanted - before).clamp(min=0), most))
