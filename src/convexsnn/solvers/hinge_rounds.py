"""Rounds of an interior point method for the hinge loss on a growing set of columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Journal, Status
from convexsnn.solvers.merge_rows import RowGroups

# Columns of the first restricted program, and the growth of the working set when they do not suffice. An iteration
# costs C (m P^2 + P^3), so that dictionaries of this size are solved at once and larger ones in rounds.
FIRST_COLUMNS = 1500
# A round adds the violated columns, up to the first of these parts of those it has, and the next ones up to the second.
GROWTH, COMPANY = 0.5, 0.15
# A round whose own gap is below this part of the gap that all columns leave has no more to say than which are missing.
ROUND_SHARE = 0.1
# Iterations without a smaller complementarity after which the arithmetic is taken to be exhausted.
PATIENCE = 15


class Iterate(Protocol):
    """What an interior point method on given columns offers; see `LinearInteriorPoint`, `ConeInteriorPoint`."""

    @property
    def a(self) -> Tensor: ...
    @property
    def dual(self) -> float: ...
    def primal(self, W: Tensor) -> float: ...
    def sparse_weights(self) -> Tensor: ...
    def complementarity(self) -> float: ...
    def step(self) -> None: ...


# D (m, P), Y (m, C), cost (m, 1), rho; see the constructors of the two interior point methods.
MakeIterate = Callable[[Tensor, Tensor, Tensor, float], Iterate]


class Rounds:
    """An interior point method on a growing set of columns, and the best certified point so far.

    The iterates are strictly dual feasible for the columns of the working set, so each gives a certificate after one
    product with the whole dictionary. Weights that complementarity marks as inactive are exact zeros.

    Attributes
    ----------
    W, U : Tensor
        The best weights (P, C) and the best feasible dual vector (n, C).
    primal, dual : float
        Their objectives.
    """

    def __init__(self, program: ConvexProgram, make: MakeIterate, tol: float, W0: Tensor | None) -> None:
        self.program, self._make, self._tol = program, make, tol
        Y, w = program.targets, program.row_weights
        self.W = Y.new_zeros(program.n_columns, program.n_outputs)
        self.primal = float(w.sum()) * program.n_outputs
        self.U, self.dual = torch.zeros_like(Y), 0.0
        # At W = 0 every margin is below one, so a = w is the only dual candidate; scaled, it is the first bound.
        self.scores = self._offer_dual(-Y * w.unsqueeze(1))
        if W0 is not None:
            self._offer(W0.to(Y), program.primal(W0.to(Y)))

    @property
    def closed(self) -> bool:
        """Whether the gap is within the tolerance."""
        return self._closed(self.primal, self.dual)

    def solve(
        self, groups: RowGroups, journal: Journal, record: Callable[[], None], likely: Tensor | None = None
    ) -> Status:
        """Add columns until the gap over the whole dictionary is within the tolerance, or say why that failed.

        `record` is called after each iteration, and has to make an entry in the journal. The first round is over the
        columns `likely` (int64), or where nothing is known of the support over many.
        """
        if self.closed:
            return Status.CONVERGED
        self._groups = groups
        working = self._first_columns(likely)
        while True:
            status = self._solve_restricted(working, journal, record)
            if status is not Status.CONVERGED or self.closed:
                return status
            violated = self._violated(working)
            if not len(violated):
                return Status.STALLED
            working = torch.cat([working, violated])

    def _first_columns(self, likely: Tensor | None) -> Tensor:
        strongest = self.scores.norm(dim=1).argsort(descending=True, stable=True)[:FIRST_COLUMNS]
        support = torch.nonzero(self.W.any(dim=1)).flatten()
        return torch.cat([strongest if likely is None else likely, support]).unique()

    def _solve_restricted(self, working: Tensor, journal: Journal, record: Callable[[], None]) -> Status:
        """Iterate until the gap over the columns `working` is within the tolerance."""
        program, groups = self.program, self._groups
        scale = float(groups.weights.mean())
        D, Y = program.columns.take(working).dense()[groups.first], program.targets[groups.first]
        point = self._make(D, Y, (groups.weights / scale).unsqueeze(1), program.rho / scale)
        best, since = float("inf"), 0
        while not journal.full:
            try:
                point.step()
            except ArithmeticError:
                return Status.STALLED
            primal = self._offer_weights(point, working, scale)
            self.scores = self._offer_dual(groups.spread(-Y * point.a * scale))
            record()
            gap = primal - point.dual * scale
            if gap <= max(0.5 * self._tol * primal, ROUND_SHARE * (primal - self.dual)):
                return Status.CONVERGED
            # The gap of the sparse weights may stand still for long when rho is tiny; mu shows whether steps are made.
            mu = point.complementarity()
            best, since = (mu, 0) if mu < best else (best, since + 1)
            if since > PATIENCE:
                return Status.STALLED
        return Status.MAX_ITER

    def _offer_weights(self, point: Iterate, working: Tensor, scale: float) -> float:
        """Offer the sparse weights of the iterate; their objective. The dense ones would be no certified support."""
        W = self.W.new_zeros(self.W.shape)
        sparse = point.sparse_weights()
        W[working] = sparse
        primal = point.primal(sparse) * scale
        self._offer(W, primal)
        return primal

    def accept(self, W: Tensor, primal: float, U: Tensor, dual: float) -> None:
        """Take over what another solver reached, where it is better."""
        self._offer(W, primal)
        if dual > self.dual:
            self.dual, self.U = dual, U

    def _offer(self, W: Tensor, primal: float) -> None:
        if primal < self.primal:
            self.primal, self.W = primal, W

    def _offer_dual(self, U: Tensor) -> Tensor:
        """Offer a dual vector in the domain of F*; its D^T U."""
        scores = self.program.columns.rmatmul(U)
        kappa = max(1.0, float(self.program.penalty.dual_norm(scores)) / self.program.rho)
        dual = self.program.dual(U / kappa)
        if dual > self.dual:
            self.dual, self.U = dual, U / kappa
        return scores

    def _violated(self, working: Tensor) -> Tensor:
        """Columns to add: those that violate the dual constraint most, and with them those next to it; or none."""
        norms = self.scores.norm(dim=1)
        norms[working] = -1.0
        violated = int((norms > self.program.rho).sum())
        if not violated:
            return working[:0]
        count = max(min(violated, int(GROWTH * len(working))), int(COMPANY * len(working)), 1)
        return norms.argsort(descending=True, stable=True)[: min(count, len(norms) - len(working))]

    def _closed(self, primal: float, dual: float) -> bool:
        # Half the tolerance leaves room for the rounding of the final certificate, which is computed afresh.
        return primal - dual <= 0.5 * self._tol * primal
