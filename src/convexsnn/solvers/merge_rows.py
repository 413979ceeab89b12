"""Rows of the dictionary that are equal can be solved as one row of their total weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.columns import Columns

# Columns compared at a time. Rows of random dictionaries are all told apart by the first block, which ends the search.
BLOCK_COLUMNS = 64


@dataclass(frozen=True)
class RowGroups:
    """A partition of n rows into groups that have the same dictionary row and the same target.

    Attributes
    ----------
    first : int64 tensor of shape (m,)
        The first row of each group: rows that represent the dictionary.
    group : int64 tensor of shape (n,)
        The group of each row.
    weights : float64 tensor of shape (m,)
        Total row weight of each group.
    share : float64 tensor of shape (n,)
        What part of its group's weight a row has. By convexity of the loss, a group's dual value split in these
        proportions is a dual vector of all rows with the same objective and the same product with the dictionary.
    """

    first: Tensor
    group: Tensor
    weights: Tensor
    share: Tensor

    def spread(self, values: Tensor) -> Tensor:
        """Dual values of the groups (m, ...) as dual values of the rows (n, ...)."""
        share = self.share.reshape(-1, *[1] * (values.ndim - 1))
        return values[self.group] * share


def equal_rows(columns: Columns) -> NDArray[np.int64]:
    """A number for each row of the dictionary, shape (n,); rows have the same number if and only if they are equal."""
    n, count = columns.shape
    labels = np.zeros(n, dtype=np.int64)
    for start in range(0, count, BLOCK_COLUMNS):
        block = torch.arange(start, min(start + BLOCK_COLUMNS, count), device=columns.device)
        labels, distinct = _split(labels, columns.take(block).dense().cpu().numpy())
        if distinct == n:
            break
    return labels


def merge_rows(labels: NDArray[np.int64], targets: Tensor, row_weights: Tensor) -> RowGroups:
    """The groups of rows equal by `labels` (see `equal_rows`) and by `targets` (n, c), on the device of the targets."""
    group, _ = _split(labels, targets.cpu().numpy())
    first = np.unique(group, return_index=True)[1]
    device = targets.device
    group = torch.as_tensor(group, device=device)
    weights = torch.zeros(len(first), dtype=torch.float64, device=device).index_add_(0, group, row_weights)
    return RowGroups(torch.as_tensor(first, device=device), group, weights, row_weights / weights[group])


def _split(labels: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
    """Split the groups `labels` (n,) by the rows of `values` (n, k); the new labels and their number."""
    # Adding zero turns -0.0 into 0.0, so that equal numbers have equal bytes.
    keys = np.concatenate([labels[:, None].view(np.float64), values + 0.0], axis=1)
    rows = np.ascontiguousarray(keys).view(np.dtype((np.void, keys.shape[1] * 8))).ravel()
    distinct, inverse = np.unique(rows, return_inverse=True)
    return inverse.reshape(-1).astype(np.int64), len(distinct)
