"""The program with the elastic penalty as one proximal point step."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from convexsnn.penalties import Elastic
from convexsnn.program import ConvexProgram
from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.base import Best
from convexsnn.solvers.elastic.system import UsedColumns, newton_direction
from convexsnn.solvers.newton.columns import ScaledColumns
from convexsnn.solvers.newton.proximal_step import DualPoint, ProximalStep, Trial
from convexsnn.solvers.newton.system import Preconditioner


class ElasticStep(ProximalStep):
    """The program itself as one proximal point step of the program with the norm N alone.

    F(D W) + rho N(W) + (rho ridge / 2) |W|^2 is the objective of a step with center 0 and sigma = 1 / (rho ridge), on
    columns as they are. So every dual point has a finite value, -F*(U) - |prox(D^T U)|^2 / (2 rho ridge), and none is
    scaled to be feasible.
    """

    def __init__(self, program: ConvexProgram, columns: ScaledColumns, best: Best, tol: float) -> None:
        of_norm = replace(program, penalty=cast(Elastic, program.penalty).norm)
        super().__init__(of_norm, Preconditioner(columns, torch.float64), best, tol)
        self._elastic = program

    def offer(self, W: Tensor, data_term: float, point: DualPoint) -> None:
        """See `ProximalStep`."""
        program = self._elastic
        penalty, taken = program.penalty.value(W), program.penalty.conjugate(point.products, program.rho)
        self._best.offer(W, data_term + program.rho * float(penalty), point.U, -point.conjugate - float(taken))

    def _solved(self, center: Tensor, trial: Trial, sigma: float) -> bool:  # noqa: ARG002
        """Only the tolerance of the program ends the step."""
        return False

    def _newton_direction(self, trial: Trial, residual: Tensor, curvature: RowMatrices, sigma: float) -> Tensor:
        """See `ProximalStep`: without proximal terms to come there may be more active columns than rows."""
        W = trial.prox.W
        used = torch.nonzero(W.any(dim=1)).flatten()
        if not len(used):
            return -residual
        columns = UsedColumns(self._columns.rows(used, torch.float64), W[used], sigma * float(self._threshold[0]))
        return newton_direction(columns, curvature, residual, sigma)
