"""Products with the Hessian of 0/1 columns by tables, shared by threads."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.bit_products import grouped, in_vectors, sums_for
from convexsnn.curved_products import curved_product
from convexsnn.lanes import lanes_of
from convexsnn.row_matrices import RowMatrices
from convexsnn.rowwise import blocks_of_entries
from convexsnn.solvers.active_set.gram import entries_between
from convexsnn.solvers.active_set.picked import Picked
from convexsnn.team import Team

# A block has so many rows at most: as many as have products that stay in cache.
BLOCK_ROWS = 2**12


class TableHessian:
    """X -> D^T h(D X) for 0/1 columns D of shape (n, k).

    Threads share the blocks of rows. The sums over the blocks are added in their order, so that the result is the same
    for any number of threads.
    """

    def __init__(self, columns: Picked) -> None:
        n, self._count = columns.shape
        even = -(-n // max(1, -(-n // BLOCK_ROWS)))
        blocks = blocks_of_entries(n, 1, -(-even // 8) * 8)
        self._blocks = [(rows, grouped(entries_between(columns, rows, torch.uint8))) for rows in blocks]
        self._team = Team(max(1, min(torch.get_num_threads(), len(self._blocks))))

    def product(self, curvature: RowMatrices, X: Tensor) -> Tensor:
        """D^T h(D X) for X of shape (k, C) and h, a matrix a row, in the same arithmetic."""
        wide, out = in_vectors(X, self._count), sums_for(self._count, X.shape[1], X.dtype)
        diagonal, vector, masks = _arrays(curvature, wide.shape[1])

        def of_block(block: tuple[slice, NDArray]) -> NDArray:
            rows, groups = block
            return curved_product(groups, wide, diagonal[rows], vector[rows], masks)

        for sums in self._team.each(of_block, self._blocks):
            out += sums
        return torch.as_tensor(out[: self._count, : X.shape[1]], device=X.device)


def _arrays(curvature: RowMatrices, width: int) -> tuple[NDArray, NDArray, NDArray]:
    """The diagonals, the vectors (zeros where there are none), and the lanes of each block of outputs as bits.

    Lanes are those of scores of `width` numbers a row.
    """
    diagonal, vector, blocks = curvature
    vector = torch.zeros_like(diagonal) if vector is None else vector
    inside = np.zeros((max(1, len(blocks)), width), bool)
    for own, block in zip(inside, blocks or [range(diagonal.shape[1])], strict=True):
        own[block.start : block.stop] = True
    lanes = lanes_of(diagonal.itemsize)
    weights = np.uint64(1) << np.arange(lanes, dtype=np.uint64)
    masks = (inside.reshape(len(inside), -1, lanes) * weights).sum(axis=2, dtype=np.uint64)
    return diagonal.contiguous().numpy(), vector.contiguous().numpy(), masks
