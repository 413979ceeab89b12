"""The iteration of `ActiveSetNewton` for one output, with the best certified point so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from convexsnn.losses import SmoothLoss
from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Best, Journal, Status
from convexsnn.solvers.curvature_store import CurvatureStore
from convexsnn.solvers.pivoting import minimise

# From zero, rho begins where W = 0 is optimal, and falls by this factor from step to step.
RELAXATION = 4.0
# How many violated columns a step takes in besides the support: so many, or this part of the support if that is more.
LEAST_GROWTH, GROWTH = 64, 0.5
# A share of the diagonal is added to the curvature. It grows by this factor where a step fails and shrinks after others.
RIDGE, LARGEST_RIDGE, RIDGE_FACTOR = 1e-7, 1e4, 100.0
HALVINGS = 20
# Steps at the program's rho that improve neither the certificate nor the objective before the method gives up.
PATIENCE = 12


class Descent:
    """Proximal Newton steps on the support and the most violated columns.

    A step minimises the quadratic model of F at W, plus rho |W|_1, over these columns exactly (`minimise`), and searches
    along the line to that minimum. One product of the whole dictionary with U = grad F(D W) finds the violated columns
    and certifies the step.

    Attributes
    ----------
    best : Best
        Weights (P, 1) and dual vector (n, 1), feasible, with their objectives.
    """

    def __init__(self, program: ConvexProgram, store: CurvatureStore, W0: Tensor | None) -> None:
        self._program, self._store = program, store
        Y = program.targets
        self._W = Y.new_zeros(program.n_columns, 1) if W0 is None else W0.to(Y)
        self._ridge = RIDGE
        self.best = Best(self._W, torch.zeros_like(Y))

    def begin(self) -> None:
        """Certify the first weights."""
        self._arrive(self._program.columns.matmul(self._W))
        self._level = self._program.rho if bool(self._W.any()) else max(self._program.rho, self._largest)

    def solve(self, journal: Journal, record: Callable[[], None]) -> Status:
        """Step until the gap is within the tolerance; `record` is called after each step, to note it in the journal."""
        # The last tenth leaves room for the rounding of the final certificate, which is computed afresh.
        tol, idle = 0.9 * journal.options.tol, 0
        while self.best.relative_gap > tol:
            if journal.full:
                return Status.MAX_ITER
            if idle >= PATIENCE or self._ridge > LARGEST_RIDGE:
                return Status.STALLED
            primal, gap = self.best.primal, self.best.relative_gap
            self._level = max(self._program.rho, self._level / RELAXATION)
            self._step()
            advanced = self.best.relative_gap < 0.99 * gap or primal - self.best.primal > 0.01 * gap * abs(primal)
            idle = 0 if advanced or self._level > self._program.rho else idle + 1
            record()
        return Status.CONVERGED

    def _arrive(self, scores: Tensor) -> None:
        """Certify the weights, whose scores are given, and price all columns."""
        program = self._program
        self._scores, U = scores, program.data_gradient(scores)
        self._products = program.columns.rmatmul(U)[:, 0]
        self._largest = float(self._products.abs().max()) if len(self._products) else 0.0
        primal = float(program.data_term(scores)) + program.rho * float(self._W.abs().sum())
        U = U / max(1.0, self._largest / program.rho)
        self.best.offer(self._W, primal, U, program.dual(U))

    def _step(self) -> None:
        working = self._working_set()
        before, slope = self._W[working, 0], self._products[working]
        loss = cast(SmoothLoss, self._program.loss)
        curvature = self._program.row_weights * loss.curvature(self._scores).diagonal[:, 0]
        H = self._store.matrix(working, curvature)
        H.diagonal().mul_(1.0 + self._ridge)
        after = minimise(H, H @ before - slope, self._level, before)
        if after is not None and self._search(working, before, after, slope):
            self._ridge = max(RIDGE, self._ridge / RIDGE_FACTOR)
        else:
            self._ridge *= RIDGE_FACTOR

    def _working_set(self) -> Tensor:
        used = self._W[:, 0] != 0.0
        excess = torch.where(used, 0.0, self._products.abs() - self._level)
        most = min(int((excess > 0.0).sum()), max(LEAST_GROWTH, int(GROWTH * int(used.sum()))))
        wanted = used.clone()
        wanted[excess.topk(most).indices] = True
        return torch.nonzero(wanted).flatten()

    def _search(self, working: Tensor, before: Tensor, after: Tensor, slope: Tensor) -> bool:
        """Go towards `after` as far as the objective falls enough; False where it does not fall at all."""
        program, change = self._program, after - before
        scores = program.columns.take(working).matmul(change.unsqueeze(1))
        value = float(program.data_term(self._scores)) + self._level * float(before.abs().sum())
        decrease = float(slope @ change) + self._level * float(after.abs().sum() - before.abs().sum())
        length = 1.0
        for _ in range(HALVINGS):
            weights = after if length == 1.0 else before + length * change
            reached = self._scores + length * scores
            now = float(program.data_term(reached)) + self._level * float(weights.abs().sum())
            if now <= value + 1e-4 * length * decrease + 1e-14 * abs(value):
                self._W = self._W.clone()
                self._W[working, 0] = weights
                self._arrive(reached)
                return True
            length /= 2.0
        return False
