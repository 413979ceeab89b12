"""The blocks of the Hessian that belong to one output each, of which most is kept from step to step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.ranks import Ranks, dealt
from convexsnn.rowwise import blocks_of_rows
from convexsnn.solvers.active_set.coupled.block_curvature import BlockCurvature, PlainCurvature, RoundedCurvature
from convexsnn.solvers.active_set.coupled.quadratic import Quadratic
from convexsnn.solvers.active_set.gram import area, put_tile, tiles

# Blocks of so many rows are rounded to bytes. Smaller ones cost little, and equal programs then take equal ways.
ROUNDED_FROM = 2**11
# A block is kept while the curvature has changed by at most this part of itself, in the sum over the rows.
DRIFT = 0.1


class Gram(NamedTuple):
    """The Hessian over the entries of one output: their columns (m,), ascending, and the matrix (m, m)."""

    columns: Tensor
    matrix: Tensor

    def between(self, columns: Tensor) -> Tensor:
        """The rows and columns of the matrix that belong to some of its columns (int64, ascending); not to change."""
        if len(columns) == len(self.columns):
            return self.matrix
        place = torch.searchsorted(self.columns, columns)
        return self.matrix[place][:, place]


class Grams:
    """The blocks of all outputs of a program, step after step.

    What a block has in common with that of the step before is kept where the curvature has hardly changed.
    """

    def __init__(self) -> None:
        self._kept = list[_Block]()

    def of(self, quadratic: Quadratic, numbers: Tensor, entries: Tensor) -> list[Gram]:
        """One block for each output.

        Parameters
        ----------
        quadratic : Quadratic
        numbers : int64 tensor of shape (k,)
            Which columns of the program the quadratic has, ascending.
        entries : bool tensor of shape (k, C)
            Those that the blocks are to have.
        """
        indices = [torch.nonzero(used).flatten() for used in entries.unbind(dim=1)]
        rounded = quadratic.columns.whole.binary and len(quadratic.curvature.diagonal) >= ROUNDED_FROM
        kept_as = RoundedCurvature.of if rounded else PlainCurvature
        twins, begun, before = list[int](), list[_Block](), None
        for output, index in enumerate(indices):
            h = quadratic.curvature.own_of(output)  # of one output at a time, as rows may be many
            if before is None or not torch.equal(index, indices[output - 1]) or not torch.equal(h, before):
                kept = self._kept[output] if self._kept else None
                begun.append(_begin(index, numbers[index], kept_as(h), kept))
            twins.append(len(begun) - 1)
            before = h
        _fill(quadratic, begun)
        made = [block.finished(quadratic.columns.ranks) for block in begun]
        self._kept = [made[twin] for twin in twins]
        return [Gram(index, block.matrix) for index, block in zip(indices, self._kept, strict=True)]


class _Block(NamedTuple):
    """A block of one output, whole or begun.

    Attributes
    ----------
    columns, numbers : int64 tensors of shape (m,)
        Its columns, by their places in the quadratic and by their numbers in the program.
    curvature : BlockCurvature
        That of all its entries. It is rounded where rows are many, because blocks only show the way.
    matrix : tensor of shape (m, m)
    corner : tensor of shape (c, c)
        What is known of the matrix already: its first c rows and columns.
    """

    columns: Tensor
    numbers: Tensor
    curvature: BlockCurvature
    matrix: Tensor
    corner: Tensor

    def finished(self, ranks: Ranks) -> _Block:
        """The block with its columns in order, when all ranks have put their tiles into the matrix."""
        known = len(self.corner)
        ranks.add_up(self.matrix)
        self.matrix[:known, :known] = self.corner
        order = self.numbers.argsort()
        matrix = self.matrix[order][:, order] if known else self.matrix
        return _Block(self.columns[order], self.numbers[order], self.curvature, matrix, self.corner[:0, :0])


def _begin(columns: Tensor, numbers: Tensor, curvature: BlockCurvature, kept: _Block | None) -> _Block:
    """A block with what is known of it from the one of the step before, if that is of use."""
    matrix = torch.zeros(len(numbers), len(numbers), dtype=curvature.dtype, device=numbers.device)
    if kept is None or _differ(kept.curvature, curvature):
        return _Block(columns, numbers, curvature, matrix, matrix[:0, :0])
    known = torch.isin(numbers, kept.numbers)
    place = torch.searchsorted(kept.numbers, numbers[known])
    order = torch.cat([torch.nonzero(known), torch.nonzero(~known)]).flatten()
    return _Block(columns[order], numbers[order], kept.curvature, matrix, kept.matrix[place][:, place])


def _differ(before: BlockCurvature, now: BlockCurvature) -> bool:
    """Whether the curvature has changed by more than `DRIFT`."""
    if before.dtype != now.dtype:
        return True
    change = total = 0.0
    for rows in blocks_of_rows(len(now)):
        own = before.of_rows(rows)
        change += float((now.of_rows(rows) - own).abs().sum())
        total += float(own.sum())
    return change > DRIFT * total


def _fill(quadratic: Quadratic, blocks: list[_Block]) -> None:
    """Put the missing tiles into the matrices: of several ranks each makes some of them."""
    whole, ranks = quadratic.columns.whole, quadratic.columns.ranks
    asked = [(block, tile) for block in blocks for tile in tiles(len(block.columns), len(block.corner))]
    left, begun = whole, None
    for number in dealt([area(tile) for _, tile in asked], ranks):
        block, (rows, others) = asked[number]
        if begun != (id(block), rows):
            left, begun = whole.take(block.columns[rows]), (id(block), rows)
        right = left if rows == others else whole.take(block.columns[others])
        put_tile(block.matrix, (rows, others), block.curvature.gram(left, right))
