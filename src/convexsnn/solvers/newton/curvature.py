"""The data term's part of the Newton systems, kept between Newton steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.columns import BLOCK_ENTRIES
from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.newton.columns import ScaledColumns

# A row is stale when an entry of its curvature above this part of the largest has changed by this factor; the matrix is
# when this share of the rows is. Stale rows cost iterations of conjugate gradients, but a new matrix costs more.
NEGLIGIBLE = 1e-3
STALE_FACTOR = 10.0
STALE_SHARE = 0.1
# The matrix is made anew when it holds this many times the entries in use, and has room for some more than it holds.
SURPLUS = 2.0
ROOM = 1.1
# Rows of the matrix made at a time, or more where they are short: each needs two vectors as long as the training data.
ENTRIES = 128


@dataclass(frozen=True)
class Entries:
    """Entries of the weights: their positions in a `CurvatureMatrix`, ascending, and their columns and outputs."""

    position: Tensor
    column: Tensor
    output: Tensor


class CurvatureMatrix:
    """R H R^T for entries (column, output) of the weights: R normalised columns, H the curvature of the loss.

    Newton steps change the curvature little and few entries, once the active set settles. So the matrix stays that of
    earlier scores, and new entries are appended, as long as it is a good preconditioner: with all rows of H changed by
    a factor of at most t, so is the matrix. Only the part below the diagonal is kept.
    """

    def __init__(self, columns: ScaledColumns, outputs: range, curvature: RowMatrices, dtype: torch.dtype) -> None:
        self._columns, self._outputs, self._curvature, self._dtype = columns, outputs, curvature, dtype
        self._position = torch.full_like(columns.scale, -1, dtype=torch.int64).repeat(1, len(outputs))
        self._matrix = columns.scale.new_empty(0, 0, dtype=dtype)
        self._count = 0

    def serves(self, active: Tensor, curvature: RowMatrices, dtype: torch.dtype) -> bool:
        """Whether the matrix is still of use for entries `active` (P, C) and this curvature."""
        if dtype != self._dtype or self._count > SURPLUS * int(active[:, self._outputs].sum()) + 64:
            return False
        before, now = self._curvature.diagonal, curvature.diagonal
        if dtype == torch.float64:
            # float64 factors are for programs too small or too ill-conditioned to gain from a stale matrix.
            return torch.equal(before, now)
        larger, smaller = torch.maximum(before, now), torch.minimum(before, now)
        changed = (larger > STALE_FACTOR * smaller) & (larger > NEGLIGIBLE * before.max())
        return float(changed.any(dim=1).double().mean()) <= STALE_SHARE

    def require(self, active: Tensor) -> Entries:
        """The entries of `active` (P, C), computed where they are new, in the order in which they are kept."""
        active = active[:, self._outputs]
        missing = active & (self._position < 0)
        if bool(missing.any()):
            self._append(missing)
        column, output = torch.nonzero(active, as_tuple=True)
        position, order = self._position[column, output].sort()
        return Entries(position, column[order], output[order] + self._outputs.start)

    def lower(self, position: Tensor) -> Tensor:
        """The matrix of ascending positions; only its lower triangle is set."""
        held = self._matrix[: self._count, : self._count]
        return held.clone() if len(position) == self._count else held[position][:, position]

    def between(self, rows: Tensor, columns: Tensor) -> Tensor:
        """The block of the symmetric matrix that belongs to two sets of positions."""
        rows = rows.unsqueeze(1)
        return self._matrix[torch.maximum(rows, columns), torch.minimum(rows, columns)]

    def _append(self, missing: Tensor) -> None:
        """Compute the rows of the matrix that belong to new entries (column, output), ordered by output."""
        output, column = torch.nonzero(missing.T, as_tuple=True)
        start, self._count = self._count, self._count + len(column)
        self._reserve(self._count)
        self._position[column, output] = torch.arange(start, self._count, device=column.device)
        size = max(ENTRIES, BLOCK_ENTRIES // max(1, len(self._curvature.diagonal)))
        for begin in range(0, len(column), size):
            self._fill(start + begin, column[begin : begin + size], output[begin : begin + size])

    def _fill(self, start: int, column: Tensor, output: Tensor) -> None:
        """The rows from `start` on, of entries that have their positions."""
        rows = self._columns.rows(column, self._dtype)
        for other in range(len(self._outputs)):
            held = torch.nonzero(self._position[:, other] >= 0).flatten()
            if not len(held):
                continue
            position = self._position[held, other]
            # Above the diagonal nothing is needed: new rows before the first of these entries are left out.
            first = max(0, int(position.min()) - start)
            if first >= len(column):
                continue
            h = self._curvature_against(other).to(self._dtype)
            part = (rows[first:] * h[output[first:]]) @ self._columns.rows(held, self._dtype).T
            self._matrix[start + first : start + len(column)].index_copy_(1, position, part)

    def _curvature_against(self, other: int) -> Tensor:
        """H's entries between each of the outputs and one of them, shape (outputs, n)."""
        a, b, blocks = self._curvature
        against = self._outputs[other]
        h = torch.zeros_like(a[:, self._outputs.start : self._outputs.stop])
        if b is not None:
            # Outputs of other blocks are not coupled to it.
            block = next((block for block in blocks if against in block), self._outputs)
            start, stop = max(block.start, self._outputs.start), min(block.stop, self._outputs.stop)
            coupled = slice(start - self._outputs.start, stop - self._outputs.start)
            h[:, coupled] = -b[:, start:stop] * b[:, against, None]
        h[:, other] += a[:, against]
        return h.T

    def _reserve(self, count: int) -> None:
        if count <= len(self._matrix):
            return
        size, before = int(ROOM * count), len(self._matrix)
        larger = self._matrix.new_empty(size, size)
        larger[:before, :before] = self._matrix
        self._matrix = larger
