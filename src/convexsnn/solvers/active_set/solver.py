"""Newton's method on the active set, for smooth losses with the l1 penalty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.penalties import L1
from convexsnn.program import ConvexProgram
from convexsnn.solvers.active_set.coupled_curvature import CoupledCurvature
from convexsnn.solvers.active_set.curvature import Curvature
from convexsnn.solvers.active_set.curvature_store import CurvatureStore
from convexsnn.solvers.active_set.descent import Descent, Point
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.needs import ABSOLUTE_PENALTY, PENALISED, SMOOTH_LOSS, Need, check_needs
from convexsnn.solvers.newton.solver import SemismoothNewton
from convexsnn.solvers.outputs import join_outputs, output_of, output_program


@dataclass(frozen=True)
class ActiveSetShared:
    """What programs that differ in rho alone have in common: curvature, and where each part was left."""

    store: Curvature
    left: dict[int, Point]


class ActiveSetNewton:
    """Proximal Newton steps on few entries of the weights, with rho falling to the program's; see `Descent`.

    Where the loss is a sum over the outputs, each output is a program of its own. Where it couples them, as the cross
    entropy does, there is one program of all outputs. Where a step finds no descent (columns that depend on each other,
    in the last digits) the semismooth Newton method goes on.
    """

    name: ClassVar[str] = "active_set_newton"
    needs: ClassVar[tuple[Need, ...]] = (SMOOTH_LOSS, ABSOLUTE_PENALTY, PENALISED)

    def prepare(self, program: ConvexProgram) -> ActiveSetShared:
        """The curvature matrix, and where each part was left."""
        alone = program.loss.separable
        return ActiveSetShared((CurvatureStore if alone else CoupledCurvature)(program.columns), {})

    def solve(
        self,
        program: ConvexProgram,
        options: SolverOptions,
        W0: Tensor | None = None,
        prepared: ActiveSetShared | None = None,
    ) -> Solution:
        """Solve `program` to ``options.tol``, from `W0` of shape (P, C) when given."""
        check_needs(self.name, self.needs, program)
        journal = Journal(options)
        shared = self.prepare(program) if prepared is None else prepared
        parts = _parts(program, W0, shared)
        try:
            status = self._iterate(parts, journal)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        shared.left.update({c: part.point for c, part in enumerate(parts) if part.point is not None})
        best = join_outputs([part.best for part in parts])
        if status is Status.STALLED:
            status = SemismoothNewton().improve(replace(program, penalty=L1()), journal, best)
        return conclude(program, best.W, best.U, journal, status=status, solver=self.name)

    def _iterate(self, parts: Sequence[Descent], journal: Journal) -> Status:
        def record() -> None:
            journal.record(sum(part.best.primal for part in parts), sum(part.best.dual for part in parts))

        for part in parts:
            part.begin()
        statuses = {part.solve(journal, record) for part in parts}
        return next((s for s in (Status.MAX_ITER, Status.STALLED) if s in statuses), Status.CONVERGED)


def _parts(program: ConvexProgram, W0: Tensor | None, shared: ActiveSetShared) -> list[Descent]:
    """One iteration for each output, or one for all where the loss couples them."""
    if not program.loss.separable:
        return [_part(replace(program, penalty=L1()), 0, W0, shared)]
    return [_part(output_program(program, c), c, output_of(W0, c), shared) for c in range(program.n_outputs)]


def _part(program: ConvexProgram, number: int, start: Tensor | None, shared: ActiveSetShared) -> Descent:
    left = shared.left.get(number)
    known = left if left is not None and start is not None and torch.equal(left.W, start) else None
    return Descent(program, shared.store, start, known)
