"""Columns times powers of two: what a solver is given where the weights of some columns are to cost less."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.columns import Columns, OfPart, Slice
from convexsnn.ranks import Ranks


@dataclass(frozen=True)
class StretchedColumns:
    """D diag(scale), see `Columns`.

    Attributes
    ----------
    columns : Columns
        D, of shape (n, P).
    scale : float64 tensor of shape (P,)
        Powers of two, so that products with one column are exact where those of D are.
    """

    columns: Columns
    scale: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.columns.shape

    @property
    def device(self) -> torch.device:
        return self.columns.device

    @property
    def binary(self) -> bool:
        """Whether all entries are 0 or 1."""
        return False

    @property
    def ranks(self) -> Ranks:
        """The ranks over which D is spread."""
        return self.columns.ranks

    def matmul(self, W: Tensor) -> Tensor:
        """``D diag(scale) @ W`` for `W` of shape (P, C); shape (n, C)."""
        return self.columns.matmul(self._times(W))

    def rmatmul(self, U: Tensor) -> Tensor:
        """``diag(scale) D.T @ U`` for `U` of shape (n, C); shape (P, C)."""
        return self._times(self.columns.rmatmul(U))

    def squares(self, weights: Tensor) -> Tensor:
        """The squared norm of each column under row weights (n,), shape (P,)."""
        return self.scale**2 * self.columns.squares(weights)

    def dense(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """All entries as an ``(n, P)`` tensor of `dtype`."""
        return self.columns.dense(dtype) * self.scale.to(dtype)

    def take(self, index: Tensor) -> StretchedColumns:
        """The columns named by `index` (int64 tensor), in that order."""
        return StretchedColumns(self.columns.take(index), self.scale[index])

    def rows(self, index: Tensor) -> StretchedColumns:
        """The rows named by `index` (int64 tensor), in that order."""
        return StretchedColumns(self.columns.rows(index), self.scale)

    def between(self, start: int, stop: int) -> StretchedColumns:
        """The rows from `start` to before `stop`; no copy."""
        return StretchedColumns(self.columns.between(start, stop), self.scale)

    def floats(self, dtype: torch.dtype) -> StretchedColumns:
        """The same columns, of which D is kept as numbers of `dtype`."""
        return StretchedColumns(self.columns.floats(dtype), self.scale)

    def over_rows(self, of_part: OfPart, zero: Tensor) -> Tensor:
        """The sum, over parts of the rows, of what `of_part` makes of each; the parts are those of D."""
        return self.columns.over_rows(lambda part, rows: of_part(StretchedColumns(part, self.scale), rows), zero)

    def each_row(self, of_part: OfPart) -> Tensor:
        """What `of_part` makes of blocks of rows, one below the other; the blocks are those of D."""
        return self.columns.each_row(lambda part, rows: of_part(StretchedColumns(part, self.scale), rows))

    @property
    def largest(self) -> float:
        """An upper bound of all absolute entries."""
        return self.columns.largest * (float(self.scale.max()) if self.scale.numel() else 0.0)

    def slices(self, bits: int) -> Iterator[Slice]:
        """The slices of the columns of each scale, as those of D with the other columns zero."""
        for factor in self.scale.unique().tolist():
            own = (self.scale == factor).to(self.scale)
            for weight, part, short, place in self.columns.slices(bits):
                yield Slice(factor * weight, StretchedColumns(part, own), short, place)

    def _times(self, W: Tensor) -> Tensor:
        return self.scale.to(W.dtype).unsqueeze(1) * W
