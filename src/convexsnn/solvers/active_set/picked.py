"""Some columns of a dictionary, copied a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.columns import Columns


@dataclass(frozen=True)
class PickedColumns:
    """The columns of a dictionary that `index` names, in that order. Only the rows that are asked for are copied.

    Attributes
    ----------
    columns : Columns of shape (n, P)
        Of which this process has all rows.
    index : int64 tensor of shape (k,)
    """

    columns: Columns
    index: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.columns.shape[0], len(self.index)

    @property
    def device(self) -> torch.device:
        return self.columns.device

    @property
    def binary(self) -> bool:
        """Whether all entries are 0 or 1."""
        return self.columns.binary

    def take(self, index: Tensor) -> PickedColumns:
        """Those named by `index` (int64 tensor) of these."""
        return PickedColumns(self.columns, self.index[index])

    def between(self, start: int, stop: int) -> Columns:
        """A copy of the rows from `start`, a multiple of 8, to before `stop`."""
        return self.columns.between(start, stop).take(self.index)


Picked = Columns | PickedColumns
"""Columns of which some rows at a time are asked for."""
