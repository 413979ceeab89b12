"""One proximal point step of the semismooth Newton solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from convexsnn.losses import SmoothLoss
from convexsnn.penalties import PenaltyWithJacobian, ProximalPoint, norm_below
from convexsnn.program import ConvexProgram
from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.base import Best
from convexsnn.solvers.newton.system import Preconditioner, conjugate_gradients

# Newton steps to a proximal step.
STEP_LIMIT = 25
# A step of larger rho is only on the way, and need not be solved.
RELAXED_STEP_LIMIT = 4
HALVINGS = 20
# Conjugate gradient iterations after which the next Newton system gets a new matrix for its factor.
MANY_ITERATIONS = 40
# A step is solved when its own duality gap is below this part of its proximal term.
INNER_TOL = 0.1


@dataclass(frozen=True)
class DualPoint:
    """Scores S (n, C), the dual vector U = grad F(S), its products with the normalised columns, and F*(U)."""

    scores: Tensor
    U: Tensor
    products: Tensor
    conjugate: float


@dataclass(frozen=True)
class Trial:
    """A dual point, the primal point that the proximal map makes of it, and the objective of the step's dual."""

    point: DualPoint
    prox: ProximalPoint
    scores: Tensor
    data_term: float
    value: float


class ProximalStep:
    """min_W F(D W) + rho Omega(W) + |W - center|^2 / (2 sigma) over weights of the normalised columns.

    With z(U) = center - sigma D^T U its dual is min_U F*(U) + |prox(z(U))|^2 / (2 sigma), whose gradient at
    U = grad F(S) is S - D prox(z(U)). Newton's method runs over S, which keeps U in the domain of F*.
    """

    def __init__(self, program: ConvexProgram, preconditioner: Preconditioner, best: Best, tol: float) -> None:
        self._program, self._preconditioner, self._best, self._tol = program, preconditioner, best, tol
        self._columns = preconditioner.columns
        self._loss, self._penalty = cast(SmoothLoss, program.loss), cast(PenaltyWithJacobian, program.penalty)
        self._threshold = program.rho * self._columns.scale

    def dual_point(self, scores: Tensor) -> DualPoint:
        U = self._program.data_gradient(scores)
        return DualPoint(scores, U, self._columns.rmatmul(U), -self._program.data_dual(U))

    def curvature(self, scores: Tensor) -> RowMatrices:
        """The Hessian of F at the scores (n, C), row by row."""
        weights = self._program.row_weights.unsqueeze(1)
        diagonal, vector, blocks = self._loss.curvature(scores, self._program.targets)
        return RowMatrices(weights * diagonal, None if vector is None else weights.sqrt() * vector, blocks)

    def offer(self, W: Tensor, data_term: float, point: DualPoint) -> None:
        """Certify weights of the normalised columns and a dual point, and keep what is better than before."""
        program = self._program
        W = self._columns.scale * W
        norm = norm_below(program.penalty, "Newton's method")
        kappa = float(norm.dual_norm(point.products / self._columns.scale)) / program.rho
        U, dual = point.U, -point.conjugate
        if kappa > 1.0:
            U = U / kappa
            dual = program.data_dual(U)
        self._best.offer(W, data_term + program.rho * float(program.penalty.value(W)), U, dual)

    def solve(
        self, center: Tensor, point: DualPoint, sigma: float, relaxed: float
    ) -> tuple[Tensor, DualPoint, int, bool]:
        """The next center, the dual point reached, the Newton steps taken, and whether the step was solved.

        `relaxed` >= 1 multiplies rho in this step, but not in what is certified.
        """
        self._threshold = relaxed * self._program.rho * self._columns.scale
        limit = STEP_LIMIT if relaxed == 1.0 else RELAXED_STEP_LIMIT
        trial = self._trial(center, point, sigma)
        steps = 0
        while True:
            self.offer(trial.prox.W, trial.data_term, trial.point)
            if self._best.relative_gap <= self._tol or self._solved(center, trial, sigma):
                return trial.prox.W, trial.point, steps, True
            following = self._line_search(center, trial, sigma) if steps < limit else None
            if following is None:
                break
            trial, steps = following, steps + 1
        return self._better(center, trial), trial.point, steps, False

    def _trial(self, center: Tensor, point: DualPoint, sigma: float) -> Trial:
        prox = self._penalty.proximal_point(center - sigma * point.products, sigma * self._threshold)
        scores = self._columns.matmul(prox.W)
        value = point.conjugate + float((prox.W**2).sum()) / (2.0 * sigma)
        return Trial(point, prox, scores, float(self._program.data_term(scores)), value)

    def _solved(self, center: Tensor, trial: Trial, sigma: float) -> bool:
        """Whether the step's duality gap, which is a Fenchel-Young gap of F, is small or lost in rounding."""
        inner = float((trial.point.U * trial.scores).sum())
        gap = trial.data_term + trial.point.conjugate - inner
        rounding = 1e-15 * (abs(trial.data_term) + abs(trial.point.conjugate) + abs(inner))
        moved = float(((trial.prox.W - center) ** 2).sum()) / (2.0 * sigma)
        return gap <= max(INNER_TOL * moved, rounding)

    def _line_search(self, center: Tensor, trial: Trial, sigma: float) -> Trial | None:
        """The next point along the Newton direction; None when rounding hides any descent."""
        curvature = self.curvature(trial.point.scores)
        residual = trial.point.scores - trial.scores
        direction = self._newton_direction(trial, residual, curvature, sigma)
        slope = float((curvature.apply(residual) * direction).sum())
        rounding = 1e-14 * (abs(trial.point.conjugate) + abs(trial.value))
        length = 1.0
        for _ in range(HALVINGS):
            following = self._trial(center, self.dual_point(trial.point.scores + length * direction), sigma)
            if following.value <= trial.value + 1e-4 * length * slope + rounding:
                return following
            length /= 2.0
        return None

    def _newton_direction(self, trial: Trial, residual: Tensor, curvature: RowMatrices, sigma: float) -> Tensor:
        """-(I + sigma D J D^T H)^-1 residual, J the Jacobian of the proximal map, H the curvature of F.

        It is -residual - D Y with (J^-1 / sigma + D^T H D) Y = -D^T H residual on the active entries.
        """
        active = trial.prox.active
        if not bool(active.any()):
            return -residual
        diagonal, vector, _ = trial.prox.inverse
        inverse = RowMatrices(diagonal / sigma, None if vector is None else vector / sigma**0.5)
        right = torch.where(active, self._columns.rmatmul(curvature.apply(-residual)), 0.0)
        # Scaled to order one, so that a float32 factor neither overflows nor underflows.
        size = right.abs().max().clamp(min=1e-300)
        Y = self._solve_system(active, curvature, inverse, right / size)
        return -residual - self._columns.matmul(Y * size)

    def _solve_system(self, active: Tensor, curvature: RowMatrices, inverse: RowMatrices, right: Tensor) -> Tensor:
        """Solve by conjugate gradients, with a better preconditioner where the one at hand does not do."""
        preconditioner = self._preconditioner
        while True:
            preconditioner.prepare(active, curvature, inverse)
            Y, iterations, converged = conjugate_gradients(
                self._columns, active, curvature, inverse, right, preconditioner
            )
            if not converged and preconditioner.improve():
                continue
            if iterations > MANY_ITERATIONS:
                preconditioner.forget()
            return Y

    def _better(self, center: Tensor, trial: Trial) -> Tensor:
        """The center or the weights of an unfinished step, whichever has the smaller objective."""
        scale, program = self._columns.scale, self._program
        reached = trial.data_term + program.rho * program.penalty.value(scale * trial.prox.W)
        before = program.data_term(self._columns.matmul(center)) + program.rho * program.penalty.value(scale * center)
        return trial.prox.W if float(reached) < float(before) else center
