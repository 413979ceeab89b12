"""Newton's method on the active set, for smooth losses that are sums over the outputs, with the l1 penalty."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.penalties import L1
from convexsnn.program import ConvexProgram
from convexsnn.solvers.active_set.curvature_store import CurvatureStore
from convexsnn.solvers.active_set.descent import Descent, Point
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.needs import ABSOLUTE_PENALTY, SEPARABLE_LOSS, SMOOTH_LOSS, Need, check_needs
from convexsnn.solvers.newton.solver import SemismoothNewton
from convexsnn.solvers.outputs import join_outputs, output_of, output_program


@dataclass(frozen=True)
class ActiveSetShared:
    """What programs that differ in rho alone have in common: curvature, and where each output was left."""

    store: CurvatureStore
    left: dict[int, Point]


class ActiveSetNewton:
    """Proximal Newton steps on few columns, output by output, with rho falling to the program's; see `Descent`.

    Loss and penalty are sums over the outputs, so each output is a program of its own. Where a step finds no descent
    (columns that depend on each other, in the last digits) the semismooth Newton method goes on.
    """

    name: ClassVar[str] = "active_set_newton"
    needs: ClassVar[tuple[Need, ...]] = (SMOOTH_LOSS, SEPARABLE_LOSS, ABSOLUTE_PENALTY)

    def prepare(self, program: ConvexProgram) -> ActiveSetShared:
        """The curvature matrix, and where each output was left."""
        return ActiveSetShared(CurvatureStore(program.columns), {})

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
        outputs = [_one_output(program, c, W0, shared) for c in range(program.n_outputs)]
        try:
            status = self._iterate(outputs, journal)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        shared.left.update({c: output.point for c, output in enumerate(outputs) if output.point is not None})
        best = join_outputs([output.best for output in outputs])
        if status is Status.STALLED:
            status = SemismoothNewton().improve(replace(program, penalty=L1()), journal, best)
        return conclude(program, best.W, best.U, journal, status=status, solver=self.name)

    def _iterate(self, outputs: list[Descent], journal: Journal) -> Status:
        def record() -> None:
            journal.record(sum(output.best.primal for output in outputs), sum(output.best.dual for output in outputs))

        for output in outputs:
            output.begin()
        statuses = {output.solve(journal, record) for output in outputs}
        return next((s for s in (Status.MAX_ITER, Status.STALLED) if s in statuses), Status.CONVERGED)


def _one_output(program: ConvexProgram, c: int, W0: Tensor | None, shared: ActiveSetShared) -> Descent:
    start, left = output_of(W0, c), shared.left.get(c)
    known = left if left is not None and start is not None and torch.equal(left.W, start) else None
    return Descent(output_program(program, c), shared.store, start, known)
