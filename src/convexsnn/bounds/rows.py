"""Sums over rows of equal input, which every deterministic network answers alike."""

from __future__ import annotations

from torch import Tensor


def sum_groups(values: Tensor, groups: Tensor) -> Tensor:
    """The sums of the rows of `values` (n, C) over each group of `groups` (n,): shape (number of groups, C)."""
    return values.new_zeros(int(groups.max()) + 1, values.shape[1]).index_add_(0, groups, values)
