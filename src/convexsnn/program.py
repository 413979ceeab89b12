"""The convex program (P) of theory.md section 2 and its dual (D)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from convexsnn.columns import Columns
from convexsnn.losses import BalancedLoss, Loss
from convexsnn.penalties import Penalty
from convexsnn.rowwise import by_rows, with_rows

# A dual vector that is scaled to be feasible is scaled by this much more, so that rounding does not undo it.
SCALING_MARGIN = 1e-14


class WithIntercept(Protocol):
    """What has an intercept that may be free."""

    @property
    def free_intercept(self) -> bool: ...


@dataclass(frozen=True)
class ConvexProgram:
    """min_W F(D W) + rho * Omega(W), F(S) = sum_i w_i loss(y_i, S_i).

    With a free intercept, the weights of the column of ones are left out of the penalty. The dual program then has the
    further constraint 1^T U = 0 for each output (theory.md section 7).

    Attributes
    ----------
    columns : Columns of shape (n, P)
        The dictionary D: one column for each distinct pattern.
    targets : float64 tensor of shape (n, C)
        Encoded labels Y (`Loss.encode`), or real targets.
    loss : Loss
    penalty : Penalty
        The penalty Omega of the output weights.
    rho : float
        The weight of the penalty, more than 0.
    row_weights : float64 tensor of shape (n,)
        The weights w of the rows in the loss: positive, and summing to one.
    free_intercept : bool
        Whether the weights of the column of ones are not penalised.

    References
    ----------
    arXiv 2605.08022, the convex reformulation of the parallel threshold network; theory.md section 2.
    """

    columns: Columns
    targets: Tensor
    loss: Loss
    penalty: Penalty
    rho: float
    row_weights: Tensor
    free_intercept: bool = False

    def __post_init__(self) -> None:
        n, _ = self.columns.shape
        if self.targets.ndim != 2 or self.targets.shape[0] != n:
            raise ValueError(
                f"targets must have shape ({n}, C), one row a dictionary row, got {tuple(self.targets.shape)}"
            )
        if self.row_weights.shape != (n,):
            raise ValueError(f"row_weights must have shape ({n},), got {tuple(self.row_weights.shape)}")
        if not bool((self.row_weights > 0).all()):
            raise ValueError("row_weights must be positive: drop the rows of weight zero first")
        total = float(self.row_weights.sum())
        if not abs(total - 1.0) <= 1e-9:
            raise ValueError(f"row_weights must sum to one, their sum is {total}")
        if not (self.rho > 0 and self.rho < float("inf")):
            raise ValueError(f"rho must be a positive finite number, got {self.rho}")
        if self.free_intercept and not isinstance(self.loss, BalancedLoss):
            raise ValueError(
                f"loss {self.loss.name!r} has no method `balanced`, which a free intercept needs: penalise it"
            )

    @property
    def n_rows(self) -> int:
        """n, the number of rows (sequences, or pairs of sequence and step)."""
        return self.columns.shape[0]

    @property
    def n_columns(self) -> int:
        """P, the number of columns."""
        return self.columns.shape[1]

    @property
    def n_outputs(self) -> int:
        """C, the number of outputs."""
        return self.targets.shape[1]

    @cached_property
    def free_column(self) -> int | None:
        """The column whose weights are not penalised; None where there is none."""
        if not self.free_intercept:
            return None
        ones = self.row_weights.new_ones(self.n_rows)
        # Of real numbers, only n ones have both a sum and a sum of squares of n.
        sums, squares = self.columns.rmatmul(ones.unsqueeze(1)).squeeze(1), self.columns.squares(ones)
        found = ((sums == self.n_rows) & (squares == self.n_rows)).nonzero().flatten().tolist()
        return found[0] if found else None

    def penalised(self, W: Tensor) -> Tensor:
        """The weights W (P, C) as the penalty has them: zero where they are not penalised."""
        free = self.free_column
        return W if free is None else W.index_fill(0, torch.tensor([free], device=W.device), 0.0)

    def data_term(self, S: Tensor) -> Tensor:
        """F(S) for scores S = D W of shape (n, C)."""
        Y = self.targets
        return self.row_weights @ by_rows(lambda rows: self.loss.value(S[rows], Y[rows]), self.n_rows)

    def data_gradient(self, S: Tensor) -> Tensor:
        """A (sub)gradient of F at S, shape (n, C): the natural dual candidate for smooth losses."""
        w, Y = self.row_weights.unsqueeze(1), self.targets
        return by_rows(lambda rows: w[rows] * self.loss.gradient(S[rows], Y[rows]), self.n_rows)

    def primal(self, W: Tensor) -> float:
        """The value of (P) at W of shape (P, C), in float64."""
        W = W.to(torch.float64)
        return float(self.data_term(self.columns.matmul(W)) + self.rho * self.penalty.value(self.penalised(W)))

    def dual(self, U: Tensor, products: Tensor | None = None) -> float:
        """The value -F*(U) - (rho Omega)*(D^T U) of (D) at U of shape (n, C), in float64; -inf outside F*'s domain.

        `products` is D^T U (P, C) where it is known. That it lies in the domain of the penalty's conjugate is not
        checked here: see `feasible_dual`.
        """
        G = self.columns.rmatmul(U.to(torch.float64)) if products is None else products
        return self.data_dual(U) - float(self.penalty.conjugate(G, self.rho))

    def data_dual(self, U: Tensor, times: float = 1.0) -> float:
        """-F*(times * U) for U of shape (n, C), in float64; -inf outside F*'s domain.

        For norms it is all of the dual value.
        """
        w, Y = self.row_weights, self.targets

        def conjugate(rows: slice) -> Tensor:
            return self.loss.conjugate(times * U[rows].to(torch.float64) / w[rows].unsqueeze(1), Y[rows])

        return -float(w @ by_rows(conjugate, self.n_rows))

    def in_domain(self, U: Tensor) -> Tensor:
        """A point of the domain of F* near `U` (n, C), float64.

        What is inside comes back as it is, bit for bit, so that a certificate can be computed again from it.
        """
        weights, Y = self.row_weights.unsqueeze(1), self.targets

        def inside(rows: slice) -> Tensor:
            w = weights[rows]
            V = U[rows] / w
            projected = self.loss.project_dual(V, Y[rows])
            return torch.where(projected == V, U[rows], w * projected)

        return self._balanced(with_rows(U, inside))

    def _balanced(self, U: Tensor) -> Tensor:
        """U (n, C), in the domain of F*, as one whose columns sum to zero where the intercept is free."""
        if not self.free_intercept:
            return U
        assert isinstance(self.loss, BalancedLoss)
        return self.loss.balanced(U, self.targets, self.row_weights)

    def feasible_dual(self, U: Tensor) -> Tensor:
        """The dual candidate U made feasible: put into the domain of F*, then scaled into that of (rho Omega)*.

        For a norm the latter is {Omega*(D^T U) <= rho}; for the elastic penalty it is everything. Scaling by t in
        [0, 1] keeps U in the domain of every loss here, so any U of shape (n, C) gives a valid bound.
        """
        U = self.in_domain(U.to(torch.float64))
        if not bool(torch.isfinite(U).all()):
            raise ValueError("the dual vector U must be finite")
        excess = self.penalty.excess(self.columns.rmatmul(U), self.rho)
        return self._balanced(U / (excess * (1.0 + SCALING_MARGIN))) if excess > 1.0 else U


def check_penalised(problem: WithIntercept, what: str) -> None:
    """ValueError where the intercept of a problem or program is free, which `what` does not know."""
    if problem.free_intercept:
        raise ValueError(f"{what} does not know a free intercept: penalise it (True), or leave it out (False)")


def uniform_weights(n: int, device: torch.device | str = "cpu") -> Tensor:
    """w_i = 1/n."""
    return torch.full((n,), 1.0 / n, dtype=torch.float64, device=device)
