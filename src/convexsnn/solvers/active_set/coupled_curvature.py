"""The Hessian of the data term over a few entries of the weights, for outputs that the loss couples."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.columns import Columns
from convexsnn.ranks import dealt
from convexsnn.row_matrices import RowMatrices

# Up to so many numbers in the columns in use, products are in float64: they cost little there.
SMALL_ENTRIES = 2**18
# So many numbers of the columns in use are unpacked at a time: rows are summed block by block.
BLOCK_ENTRIES = 2**24


class CoupledCurvature:
    """The matrix of D^T diag(h_ab) D over pairs of outputs (a, b), with h_ab the loss's curvature between the two.

    It is made anew for each step, as the curvature of coupled outputs changes with the scores. 0/1 columns on many rows
    are multiplied in float32. Rows of the columns in use are unpacked once for all pairs. Where rows are spread over
    ranks, each rank makes some of the pairs.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def matrix(self, index: Tensor, curvature: RowMatrices) -> Tensor:
        """The float64 matrix (k, k) of entries `index` (int64, distinct): column * C + output."""
        n, outputs = curvature.diagonal.shape
        # By output, so that a pair of outputs is a block of the matrix.
        output, order = (index % outputs).sort(stable=True)
        used, row = torch.unique(index[order] // outputs, return_inverse=True)
        small = n * len(used) <= SMALL_ENTRIES or not self._columns.binary
        dtype, columns = torch.float64 if small else torch.float32, self._columns.take(used)
        largest = curvature.diagonal.max()
        ends = [0, *accumulate(torch.bincount(output, minlength=outputs).tolist())]
        pairs = _pairs([slice(start, end) for start, end in pairwise(ends)])
        own = [pairs[i] for i in dealt([pair.cost for pair in pairs], self._columns.ranks)]
        matrix = largest.new_zeros(len(index), len(index), dtype=dtype)
        size = max(8, BLOCK_ENTRIES // max(1, len(index)) // 8 * 8)
        for start in range(0, n, size):
            stop = min(start + size, n)
            rows = columns.between(start, stop).dense(dtype).T.contiguous()[row]
            _add_rows(matrix, rows, own, curvature.rows(slice(start, stop)), largest)
        self._columns.ranks.add_up(matrix)
        back = order.argsort()
        return matrix[back][:, back].to(torch.float64) * largest


class _Pair(NamedTuple):
    """Two outputs a >= b, and the entries of the matrix that are of each."""

    a: int
    b: int
    first: slice
    second: slice

    @property
    def cost(self) -> int:
        """The numbers of its block of the matrix."""
        return (self.first.stop - self.first.start) * (self.second.stop - self.second.start)


def _pairs(blocks: list[slice]) -> list[_Pair]:
    """All pairs of outputs that have entries."""
    every = [_Pair(a, b, blocks[a], blocks[b]) for a in range(len(blocks)) for b in range(a + 1)]
    return [pair for pair in every if pair.cost]


def _add_rows(matrix: Tensor, rows: Tensor, pairs: list[_Pair], curvature: RowMatrices, largest: Tensor) -> None:
    """Add the part of some rows of the dictionary: `rows` (k, some) has the column of each entry of the matrix."""
    for a, b, first, second in pairs:
        h = _between(curvature, a, b)
        if h is None:
            continue
        part = (rows[first] * (h / largest).to(rows.dtype)) @ rows[second].T
        matrix[second, first] += part.T
        if a != b:
            matrix[first, second] += part


def _between(curvature: RowMatrices, a: int, b: int) -> Tensor | None:
    """The curvature between two outputs in each row (n,); None where they are not coupled."""
    diagonal, vector, blocks = curvature
    coupled = vector is not None and (not blocks or any(a in block and b in block for block in blocks))
    product = vector[:, a] * vector[:, b] if vector is not None and coupled else None
    if a != b:
        return None if product is None else -product
    return diagonal[:, a] if product is None else diagonal[:, a] - product
