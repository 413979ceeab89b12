"""The best certified point of a program with the hinge loss, on which its solvers work by turns."""

from __future__ import annotations

from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Best
from convexsnn.solvers.column_generation import offer_dual


class CertifiedPoint:
    """The best weights and dual vector so far, and D^T U of the dual vector that was offered last.

    Attributes
    ----------
    program : ConvexProgram
    best : Best
        Weights (P, C) and feasible dual vector (n, C), with their objectives.
    products : float64 tensor of shape (P, C)
    """

    def __init__(self, program: ConvexProgram, tol: float, W0: Tensor | None) -> None:
        """Begin at W = 0, and at `W0` (P, C) where it is given and better."""
        Y, w = program.targets, program.row_weights
        self.program, self._tol = program, tol
        zero = Y.new_zeros(program.n_columns, program.n_outputs)
        self.best = Best(zero, Y.new_zeros(Y.shape), primal=float(w.sum()) * program.n_outputs, dual=0.0)
        # At W = 0 every margin is below one, so a = w is the only dual candidate; scaled, it is the first bound.
        self.offer_dual(-Y * w.unsqueeze(1))
        if W0 is not None:
            self.best.offer_primal(W0.to(Y), program.primal(W0.to(Y)))

    def offer_dual(self, U: Tensor) -> None:
        """Offer a dual vector (n, C) in the domain of F*, and keep its products."""
        self.products = offer_dual(self.program, self.best, U)

    @property
    def support(self) -> Tensor:
        """The columns that the best weights use, int64."""
        return self.best.W.any(dim=1).nonzero().flatten()

    @property
    def closed(self) -> bool:
        """Whether the gap is within the tolerance."""
        # Half the tolerance leaves room for the rounding of the final certificate, which is computed afresh.
        return self.best.primal - self.best.dual <= 0.5 * self._tol * self.best.primal
