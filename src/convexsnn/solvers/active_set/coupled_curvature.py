"""The Hessian of the data term over a few entries of the weights, for outputs that the loss couples."""

from __future__ import annotations

from itertools import accumulate, pairwise

import torch
from torch import Tensor

from convexsnn.columns import BitColumns, Columns
from convexsnn.row_matrices import RowMatrices

# Up to so many numbers in the columns in use, products are in float64: they cost little there.
SMALL_ENTRIES = 2**18
# So many numbers of the columns in use are unpacked at a time: rows are summed block by block.
BLOCK_ENTRIES = 2**24


class CoupledCurvature:
    """The matrix of D^T diag(h_ab) D over pairs of outputs (a, b), with h_ab the loss's curvature between the two.

    It is made anew for each step, as the curvature of coupled outputs changes with the scores. 0/1 columns on many rows
    are multiplied in float32. Rows of the columns in use are unpacked once for all pairs.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def matrix(self, index: Tensor, curvature: RowMatrices) -> Tensor:
        """The float64 matrix (k, k) of entries `index` (int64, distinct): column * C + output."""
        n, outputs = curvature.diagonal.shape
        # By output, so that a pair of outputs is a block of the matrix.
        output, order = (index % outputs).sort(stable=True)
        used, row = torch.unique(index[order] // outputs, return_inverse=True)
        small = n * len(used) <= SMALL_ENTRIES or not isinstance(self._columns, BitColumns)
        dtype, columns = torch.float64 if small else torch.float32, self._columns.take(used)
        largest = curvature.diagonal.max()
        ends = [0, *accumulate(torch.bincount(output, minlength=outputs).tolist())]
        blocks = [slice(start, end) for start, end in pairwise(ends)]
        matrix = largest.new_zeros(len(index), len(index), dtype=dtype)
        size = max(8, BLOCK_ENTRIES // max(1, len(index)) // 8 * 8)
        for start in range(0, n, size):
            stop = min(start + size, n)
            rows = columns.between(start, stop).dense(dtype).T.contiguous()[row]
            _add_rows(matrix, rows, blocks, curvature.rows(slice(start, stop)), largest)
        back = order.argsort()
        return matrix[back][:, back].to(torch.float64) * largest


def _add_rows(matrix: Tensor, rows: Tensor, blocks: list[slice], curvature: RowMatrices, largest: Tensor) -> None:
    """Add the part of some rows of the dictionary: `rows` (k, some) has the column of each entry of the matrix."""
    for a, first in enumerate(blocks):
        for b, second in enumerate(blocks[: a + 1]):
            h = _between(curvature, a, b)
            if h is None or first.start == first.stop or second.start == second.stop:
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
