"""The training data as the search sees them: equal rows in one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.columns import BitColumns
from convexsnn.penalties import PENALTIES
from convexsnn.program import ConvexProgram
from convexsnn.search.prefixes import Prefixes, prefixes_of
from convexsnn.sequences import Sequences
from convexsnn.solvers.merge_rows import RowGroups, merge_rows
from convexsnn.training import ProgramSettings


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows that no network can tell apart (equal prefixes) and that have equal targets, taken as one of their weight.

    The program over them has the same solutions, objective and bound as the one over all rows.

    Attributes
    ----------
    groups : RowGroups
    exact : Prefixes
        Read for the merged rows, in the arithmetic of the network.
    fast : Prefixes
        The same in float32.
    targets : float64 tensor of shape (rows, C)
    """

    groups: RowGroups
    exact: Prefixes
    fast: Prefixes
    targets: Tensor

    def program(self, columns: BitColumns, settings: ProgramSettings, rho: float) -> ConvexProgram:
        """The convex program over these rows."""
        return ConvexProgram(
            columns, self.targets, settings.loss_function, PENALTIES[settings.penalty], rho, self.groups.weights
        )


def merged_rows(
    sequences: Sequences, targets: Tensor, row_weights: Tensor, *, every_step: bool, dtype: torch.dtype
) -> Rows:
    """Merge the rows of training data with targets (rows, C) and weights (rows,) that sum to one."""
    prefixes = prefixes_of(sequences, every_step=every_step, dtype=dtype)
    groups = merge_rows(prefixes.node_of_row.numpy(), targets, row_weights)
    exact = prefixes.rows(groups.first)
    return Rows(groups, exact, exact.to(torch.float32), targets[groups.first])
