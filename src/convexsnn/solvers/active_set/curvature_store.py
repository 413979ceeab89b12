"""The Hessian of the data term over a few columns, for one output."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.columns import Columns
from convexsnn.ranks import dealt
from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.active_set.gram import area, put_tile, tiles, weighted_gram

# Up to so many entries of the columns in use, products are in float64: they cost little there.
SMALL_ENTRIES = 2**18


class CurvatureStore:
    """D^T diag(h) D over columns that are asked for, kept for as long as h does not change.

    For the squared loss h never changes, so one store serves every output and every rho of a program. 0/1 columns on
    many rows are multiplied in float32. Relative to its largest entry, a constant h is one, and the matrix exact. Where
    rows are spread over ranks, each rank multiplies some blocks of columns.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._h = torch.zeros(0, dtype=torch.float64, device=columns.device)
        self._held = torch.zeros(0, dtype=torch.int64, device=columns.device)
        self._matrix = torch.zeros(0, 0, device=columns.device)

    def matrix(self, index: Tensor, curvature: RowMatrices) -> Tensor:
        """The float64 matrix (k, k) for columns `index` (int64, distinct) and curvatures h, a diagonal (n, 1)."""
        h = curvature.diagonal[:, 0]
        n, count = self._columns.shape
        small = n * len(index) <= SMALL_ENTRIES or not self._columns.binary
        dtype = torch.float64 if small else torch.float32
        if dtype != self._matrix.dtype or not torch.equal(h, self._h):
            self._h, self._held, self._matrix = h, index[:0], h.new_zeros(0, 0, dtype=dtype)
        self._append(index[~torch.isin(index, self._held)])
        position = torch.empty(count, dtype=torch.int64, device=h.device)
        position[self._held] = torch.arange(len(self._held), device=h.device)
        chosen = position[index]
        return self._matrix[chosen][:, chosen].to(torch.float64) * h.max()

    def _append(self, new: Tensor) -> None:
        if not len(new):
            return
        held = torch.cat([self._held, new])
        before, k = len(self._held), len(held)
        matrix = self._matrix.new_zeros(k, k)
        relative = (self._h / self._h.max()).to(matrix.dtype)
        asked = tiles(k, before)
        own = dealt([area(tile) for tile in asked], self._columns.ranks)
        left, begun = self._columns, -1
        for number, (rows, columns) in enumerate(asked):
            if rows.start != begun:
                left, begun = self._here(held[rows]), rows.start
            right = left if rows == columns else self._here(held[columns])  # every rank asks for the same columns
            if number in own:
                put_tile(matrix, (rows, columns), weighted_gram(left, right, relative))
        self._columns.ranks.add_up(matrix)
        matrix[:before, :before] = self._matrix
        self._held, self._matrix = held, matrix

    def _here(self, index: Tensor) -> Columns:
        return self._columns.take(index).between(0, len(self._h))
