"""The iteration of `ActiveSetNewton`, with the best certified point so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor

from convexsnn.certificate import relative_gap
from convexsnn.penalties import require_norm
from convexsnn.program import ConvexProgram
from convexsnn.solvers.active_set.model import StepModel, Task, curvature_of
from convexsnn.solvers.active_set.units import units_of
from convexsnn.solvers.base import Best, Journal, Status

# How many violated units a step takes in besides the support: so many a column of `Units.sizes`, or this part of the
# support if that is more.
LEAST_GROWTH, GROWTH = 64, 0.5
# A share of the largest curvature is added to that of every row where the model goes too far, because columns are used
# only where the loss is nearly flat: this share at first, then it grows and shrinks by this factor.
DAMPING, DAMPING_FACTOR = 1e-4, 10.0
# A larger one does not help.
LARGEST = 1e4
# A step shorter than this part of the one to the minimum of the model went too far.
SHORT = 0.5
HALVINGS = 20
# The accuracy of a step is this part of the relative gap, within limits.
ACCURACY, FINEST, COARSEST = 0.3, 1e-3, 0.1
# Steps at the program's rho that improve neither the certificate nor the objective before the method gives up.
PATIENCE = 12
# Steps in all before it gives up: where it is of use, it takes a third of them.
MOST_STEPS = 60


@dataclass(frozen=True)
class Point:
    """Weights W (P, C), scores D W (n, C), F there, and the products D^T U (P, C) with the dual vector U = grad F."""

    W: Tensor
    scores: Tensor
    loss: float
    products: Tensor


@dataclass
class Bounds:
    """The best objectives so far, and the points that have them.

    Rows may be many, so the dual vector is not kept. It is grad F(D V) / divisor.

    Attributes
    ----------
    W, V : tensors of shape (P, C)
        Of the primal and of the dual point.
    divisor : float
        Infinite for the dual vector 0.
    primal, dual : float
    """

    W: Tensor
    V: Tensor
    divisor: float = math.inf
    primal: float = math.inf
    dual: float = -math.inf

    @property
    def relative_gap(self) -> float:
        return relative_gap(self.primal, self.dual)


class _Reached(NamedTuple):
    """Weights W (P, C), scores D W (n, C) and F there."""

    W: Tensor
    scores: Tensor
    loss: float


class Descent:
    """Proximal Newton steps on the support and the most violated units of the weights.

    A unit is what the penalty takes together, an entry or a row (`Units`). A step minimises the quadratic model of F at
    W, plus rho Omega(W), over these units, and searches along the line to that minimum. One product of the whole
    dictionary with U = grad F(D W) finds the violated units and certifies the step.

    Attributes
    ----------
    bounds : Bounds
    point : Point or None
        Where the iteration is; None before `begin`.
    """

    def __init__(self, program: ConvexProgram, model: StepModel, W0: Tensor | None, known: Point | None = None) -> None:
        """Start from `W0` (P, C), or zero; `known` is the point of `W0` where it is known already."""
        self._program, self._model = program, model
        self._units = units_of(require_norm(program.penalty, "the active set"), program.n_outputs)
        Y = program.targets
        self._start = Y.new_zeros(program.n_columns, program.n_outputs) if W0 is None else W0.to(Y)
        self._width = len(self._units.sets(program.n_outputs)[0])
        self._damping = 0.0
        self.bounds = Bounds(self._start, self._start)
        self.point = known

    def best(self) -> Best:
        """The best weights (P, C) and the best dual vector (n, C), feasible, with their objectives."""
        bounds, point = self.bounds, self.point
        scores = point.scores if point is not None and point.W is bounds.V else self._program.columns.matmul(bounds.V)
        U = self._program.data_gradient(scores).div_(bounds.divisor)
        return Best(bounds.W, U, bounds.primal, bounds.dual)

    def begin(self) -> None:
        """Certify the first weights, or zero where that is better."""
        program = self._program
        if self.point is None:
            self.start_from(self._start, program.columns.matmul(self._start))
        else:
            self._arrive(self.point, program.data_gradient(self.point.scores))
            self._set_level()
        scores = torch.zeros_like(program.targets)
        if self.bounds.primal > float(program.data_term(scores)):
            self.start_from(torch.zeros_like(self._start), scores)

    def start_from(self, W: Tensor, scores: Tensor) -> None:
        """Certify weights W (P, C) with these scores, from which the next step begins."""
        self._visit(_Reached(W, scores, float(self._program.data_term(scores))))
        self._set_level()

    def _set_level(self) -> None:
        used = bool(cast(Point, self.point).W.any())
        self._level = self._program.rho if used else max(self._program.rho, self._largest)

    def solve(self, journal: Journal, record: Callable[[], None]) -> Status:
        """Step until the gap is within the tolerance; `record` is called after each step, to note it in the journal."""
        # The last tenth leaves room for the rounding of the final certificate, which is computed afresh.
        tol, idle, steps = 0.9 * journal.options.tol, 0, 0
        while self.bounds.relative_gap > tol:
            if journal.full:
                return Status.MAX_ITER
            if idle >= PATIENCE or steps >= MOST_STEPS or self._damping > LARGEST or self._model.exhausted:
                return Status.STALLED
            primal, gap = self.bounds.primal, self.bounds.relative_gap
            self._level = max(self._program.rho, self._level / self._model.relaxation)
            self._step()
            advanced = self.bounds.relative_gap < 0.99 * gap or primal - self.bounds.primal > 0.01 * gap * abs(primal)
            idle = 0 if advanced or self._level > self._program.rho else idle + 1
            steps += 1
            record()
        return Status.CONVERGED

    def _visit(self, place: _Reached) -> None:
        """Go to a place: price all columns there, and certify the point."""
        U = self._program.data_gradient(place.scores)
        self._arrive(Point(*place, self._program.columns.rmatmul(U)), U)

    def _arrive(self, point: Point, U: Tensor) -> None:
        """Go to a point, and certify it; its dual vector is scaled in place."""
        program, self.point = self._program, point
        self._largest = float(self._units.sizes(point.products).max()) if point.products.numel() else 0.0
        primal = point.loss + program.rho * self._penalty(point.W)
        divisor, bounds = max(1.0, self._largest / program.rho), self.bounds
        dual = program.data_dual(U.div_(divisor))
        if primal < bounds.primal:
            bounds.W, bounds.primal = point.W, primal
        if dual > bounds.dual:
            bounds.V, bounds.divisor, bounds.dual = point.W, divisor, dual

    def _penalty(self, values: Tensor) -> float:
        """Omega of weights, or of the entries of whole units."""
        return float(self._units.sizes(values.view(-1, self._width)).sum())

    def _step(self) -> None:
        point = cast(Point, self.point)
        working = self._working_set(point)
        before, slope = point.W.flatten()[working], point.products.flatten()[working]
        accuracy = min(COARSEST, max(FINEST, ACCURACY * self.bounds.relative_gap))
        curvature = partial(curvature_of, self._program, point.scores, self._damping)
        after = self._model.minimise(Task(working, before, slope, curvature, self._level, accuracy))
        if after is None:
            return
        length, reached = self._search(point, working, after)
        if reached is not None:
            del point, curvature  # which hold scores
            self.point = None
            self._visit(reached)
        if length < SHORT:
            self._damping = max(DAMPING, self._damping * DAMPING_FACTOR)
        else:
            self._damping = self._damping / DAMPING_FACTOR if self._damping > DAMPING / DAMPING_FACTOR else 0.0

    def _working_set(self, point: Point) -> Tensor:
        """The entries of the support and of the most violated units."""
        used = self._units.sizes(point.W) != 0.0
        excess = torch.where(used, 0.0, self._units.sizes(point.products) - self._level).flatten()
        least = LEAST_GROWTH * used.shape[1]
        most = min(int((excess > 0.0).sum()), max(least, int(GROWTH * int(used.sum()))))
        wanted = used.flatten()
        wanted[excess.topk(most).indices] = True
        return torch.nonzero(wanted.view_as(used).expand_as(point.W).flatten()).flatten()

    def _search(self, point: Point, working: Tensor, after: Tensor) -> tuple[float, _Reached | None]:
        """Go towards `after` as far as the objective falls enough: the share of the way, and what is there."""
        program, before = self._program, point.W.flatten()[working]
        change = after - before
        value = point.loss + self._level * self._penalty(before)
        penalty = self._level * (self._penalty(after) - self._penalty(before))
        decrease = float(point.products.flatten()[working] @ change) + penalty
        length = 1.0
        for _ in range(HALVINGS):
            weights = after if length == 1.0 else before + length * change
            reached = self._scores(working, length * change).add_(point.scores)
            loss = float(program.data_term(reached))
            now = loss + self._level * self._penalty(weights)
            if now <= value + 1e-4 * length * decrease + 1e-14 * abs(value):
                W = point.W.flatten().index_copy(0, working, weights).view_as(point.W)
                return length, _Reached(W, reached, loss)
            length /= 2.0
        return 0.0, None

    def _scores(self, working: Tensor, change: Tensor) -> Tensor:
        """The change of the scores (n, C) that a change of some entries of the weights makes."""
        W = torch.zeros_like(self._start).flatten().index_copy_(0, working, change)
        return self._program.columns.matmul(W.view_as(self._start))  # which skips columns of weight zero
