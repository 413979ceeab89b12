"""The columns of the squared loss with the ridge penalty, decomposed: solutions and left-out rows for all rho."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from convexsnn.checks import check_memory
from convexsnn.columns import Columns
from convexsnn.program import ConvexProgram
from convexsnn.rowwise import blocks_of_entries

# Floats of columns that are held at a time, beside the columns themselves. Rows are then a multiple of eight.
BLOCK_FLOATS = 2**25


@dataclass(frozen=True, eq=False)
class Intercept:
    """What a free intercept takes out of columns and targets.

    Attributes
    ----------
    column : int
        The column of ones.
    means : float64 tensor of shape (P,)
        The weighted means of the columns.
    targets : float64 tensor of shape (C,)
        Those of the targets.
    shares : float64 tensor of shape (n,)
        The weights of the rows.
    """

    column: int
    means: Tensor
    targets: Tensor
    shares: Tensor

    @classmethod
    def of(cls, program: ConvexProgram) -> Intercept | None:
        """Of a program; None where its intercept is not free."""
        w, column = program.row_weights, program.free_column
        if column is None:
            return None
        total = w.sum()
        means = program.columns.rmatmul(w.unsqueeze(1)).squeeze(1) / total
        return cls(
            column, means.index_fill(0, torch.tensor([column], device=w.device), 1.0), w @ program.targets / total, w
        )

    def within(self, W: Tensor) -> Tensor:
        """Weights (P, C) of the columns less their means as weights of the columns, with the intercept."""
        W = W.clone()
        W[self.column] = 0.0
        W[self.column] = self.targets - self.means @ W
        return W


@dataclass(frozen=True, eq=False)
class RowBlocks:
    """A, the columns times the roots of the row weights, as blocks of rows that are made when they are asked for.

    With a free intercept the columns are less their means.

    Attributes
    ----------
    columns : Columns of shape (n, P)
    root : float64 tensor of shape (n, 1)
        The roots of the row weights.
    means : float64 tensor of shape (P,), or None
    """

    columns: Columns
    root: Tensor
    means: Tensor | None

    @property
    def by_rows(self) -> bool:
        """Whether A has no more rows than columns."""
        return self.columns.shape[0] <= self.columns.shape[1]

    @property
    def ranges(self) -> list[slice]:
        """The rows of each block: one block where all of it is small."""
        return blocks_of_entries(*self.columns.shape, BLOCK_FLOATS)

    def block(self, rows: slice) -> Tensor:
        """Some of the rows, shape (r, P)."""
        A = self.columns.between(rows.start, rows.stop).dense()
        return (A if self.means is None else A - self.means) * self.root[rows]

    def __iter__(self) -> Iterator[tuple[slice, Tensor]]:
        """All blocks, and which rows they are."""
        return ((rows, self.block(rows)) for rows in self.ranges)

    @cached_property
    def whole(self) -> Tensor:
        """A (n, P)."""
        return self.block(slice(0, self.columns.shape[0]))


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What rows are answered by weights that are solved for without them, at the best of several rhos.

    Attributes
    ----------
    place : int
        Which of the rhos it is.
    loss : float
        The weighted squared error.
    residuals : float64 tensor of shape (n, C)
        See `Spectrum.left_out_residuals`.
    """

    place: int
    loss: float
    residuals: Tensor


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The eigenvalues of the smaller of A A^T and A^T A, with A the columns times the roots of the row weights.

    With a free intercept, columns and targets are less their means. Where there are more rows than columns, A is never
    held as a whole.

    Attributes
    ----------
    rows : RowBlocks
        A, of shape (n, P).
    B : float64 tensor of shape (n, C)
        The targets times the roots of the row weights.
    values : float64 tensor of shape (min(n, P),)
        Not negative, in ascending order.
    vectors : float64 tensor of shape (min(n, P), min(n, P))
        Eigenvectors V, by columns.
    moments : float64 tensor of shape (min(n, P), C)
        V^T B, or V^T A^T B where there are more rows than columns.
    intercept : Intercept or None
        Where it is free.
    """

    rows: RowBlocks
    B: Tensor
    values: Tensor
    vectors: Tensor
    moments: Tensor
    intercept: Intercept | None = None

    @classmethod
    def of(cls, program: ConvexProgram) -> Spectrum:
        """Of the columns of a program; ValueError where what is needed of them does not fit into memory."""
        least = min(program.columns.shape)
        held = least * program.n_columns if program.n_rows <= program.n_columns else 0
        check_memory("columns for the ridge penalty take", 8 * (held + 3 * least**2))
        root, B, intercept = program.row_weights.sqrt().unsqueeze(1), program.targets, Intercept.of(program)
        rows = RowBlocks(program.columns, root, None if intercept is None else intercept.means)
        if intercept is not None:
            B = B - intercept.targets
        gram, moments = _products(rows, root * B)
        values, vectors = torch.linalg.eigh(gram)
        return cls(rows, root * B, values.clamp(min=0.0), vectors, vectors.T @ moments, intercept)

    def weights(self, rho: float) -> Tensor:
        """The solution W (P, C)."""
        W = self._right @ (self.moments / (self.values + 0.5 * rho).unsqueeze(1))
        return W if self.intercept is None else self.intercept.within(W)

    def left_out_residuals(self, rho: float) -> Tensor:
        """Target less output of each row, by the weights that are solved for without it: shape (n, C).

        They are those with all rows divided by one less the row's leverage, the derivative of its output with respect
        to its own target (Allen's PRESS). Rows are times the roots of their weights.

        References
        ----------
        D. M. Allen, The relationship between variable selection and data augmentation, Technometrics 16 (1974).
        """
        return self.least_left_out([rho]).residuals

    def least_left_out(self, rhos: Sequence[float]) -> LeftOut:
        """The rho for which the squared residuals of rows that are left out are smallest; of equal ones the largest.

        All rhos are looked at in one pass over the rows.
        """
        found = self._left_out_by_rows(rhos) if self.rows.by_rows else self._left_out_by_columns(rhos)
        losses = [float(residuals.square().sum()) for residuals in found]
        place = min(range(len(rhos)), key=lambda i: (losses[i], -rhos[i]))
        return LeftOut(place, losses[place], found[place])

    def _left_out_by_rows(self, rhos: Sequence[float]) -> list[Tensor]:
        squares, found = self.vectors.square(), []
        for rho in rhos:
            kept = 0.5 * rho / (self.values + 0.5 * rho)
            rest = self._less_own(squares @ kept, slice(None))
            found.append((self.vectors @ (kept.unsqueeze(1) * self.moments)) / rest.unsqueeze(1))
        return found

    def _left_out_by_columns(self, rhos: Sequence[float]) -> list[Tensor]:
        weights, found = [self.weights(rho) for rho in rhos], [torch.empty_like(self.B) for _ in rhos]
        for rows, A in self.rows:
            squares = (A @ self.vectors).square_()
            for rho, W, residuals in zip(rhos, weights, found, strict=True):
                leverages = squares @ (self.values + 0.5 * rho).reciprocal()
                residuals[rows] = (self.B[rows] - A @ W) / self._less_own(1.0 - leverages, rows).unsqueeze(1)
        return found

    def _less_own(self, rest: Tensor, rows: slice) -> Tensor:
        """What is left of 1 less the leverages of some rows: a free intercept adds the weight of the row to each."""
        return rest if self.intercept is None else rest - self.intercept.shares[rows]

    @cached_property
    def _right(self) -> Tensor:
        return self.rows.whole.T @ self.vectors if self.rows.by_rows else self.vectors


def _products(rows: RowBlocks, B: Tensor) -> tuple[Tensor, Tensor]:
    """A A^T and B, or A^T A and A^T B where A has more rows than columns."""
    if rows.by_rows:
        return rows.whole @ rows.whole.T, B
    P = rows.columns.shape[1]
    gram, moments = B.new_zeros(P, P), B.new_zeros(P, B.shape[1])
    for chosen, A in rows:
        gram += A.T @ A
        moments += A.T @ B[chosen]
    return gram, moments
