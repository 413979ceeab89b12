"""Training data in which equal input counts as one: rows for the program, sequences for gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convexsnn.prefixes import Prefixes, prefixes_of
from convexsnn.sequences import Sequences
from convexsnn.solvers.merge_rows import RowGroups, merge_rows


@dataclass(frozen=True, eq=False)
class MergedRows:
    """Rows of equal input (equal prefixes) and equal target, taken as one of their total weight.

    The program over them has the same solutions, objective and bound as the one over all rows.

    Attributes
    ----------
    groups : RowGroups
    exact : Prefixes
        Read for the merged rows, in the arithmetic of the network.
    fast : Prefixes
        The same in float32.
    targets : float64 tensor of shape (merged rows, C)
    """

    groups: RowGroups
    exact: Prefixes
    fast: Prefixes
    targets: Tensor

    @classmethod
    def of(cls, prefixes: Prefixes, targets: Tensor, weights: Tensor) -> MergedRows:
        """Merge rows that end `prefixes`, with targets (rows, C) and weights (rows,) that sum to one."""
        groups = merge_rows(prefixes.node_of_row.numpy(), targets, weights)
        exact = prefixes.rows(groups.first)
        return cls(groups, exact, exact.to(torch.float32), targets[groups.first])


def merge_sequences(
    sequences: Sequences, targets: Tensor, weights: Tensor, *, every_step: bool
) -> tuple[Sequences, Tensor, Tensor] | None:
    """Equal sequences with equal targets as one of their total weight; None where no two are equal.

    Parameters
    ----------
    sequences : Sequences
    targets : float64 tensor of shape (rows, C)
    weights : float64 tensor of shape (rows,)
    every_step : bool

    Returns
    -------
    sequences, targets, weights
        Of the sequences that are left, in the order of their lengths, values and targets.
    """
    counts = sequences.lengths if every_step else torch.ones_like(sequences.lengths)
    has_row = torch.arange(int(counts.max()), device=counts.device) < counts.unsqueeze(1)
    spread = targets.new_zeros(*has_row.shape, targets.shape[1])
    total = weights.new_zeros(has_row.shape)
    spread[has_row], total[has_row] = targets, weights
    # Prefixes are numbered by their length, then by their values.
    node = prefixes_of(sequences, every_step=False).node_of_row.numpy()
    key = np.column_stack([node, spread.flatten(1).cpu().numpy()])
    _, first, group = np.unique(key, axis=0, return_index=True, return_inverse=True)
    if len(first) == len(sequences):
        return None
    kept, into = (torch.from_numpy(index.ravel()).to(counts.device) for index in (first, group))
    total = total.new_zeros(len(first), total.shape[1]).index_add_(0, into, total)
    rows = has_row[kept]
    return sequences.take(kept), spread[kept][rows], total[rows]
