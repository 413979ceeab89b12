"""Newton's method on the active set, for smooth losses with the l1 or the group penalty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.penalties import L1, RowGroup
from convexsnn.program import ConvexProgram
from convexsnn.solvers.active_set.coupled.coupled_model import CoupledModel
from convexsnn.solvers.active_set.curvature_store import CurvatureStore
from convexsnn.solvers.active_set.dense_model import DenseModel
from convexsnn.solvers.active_set.descent import Descent, Point
from convexsnn.solvers.base import Journal, Solution, SolverOptions, Status, conclude
from convexsnn.solvers.needs import ABSOLUTE_PENALTY, PENALISED, SMOOTH_LOSS, SUM_OF_NORMS, Need, check_needs
from convexsnn.solvers.newton.solver import SemismoothNewton
from convexsnn.solvers.outputs import join_outputs, output_of, output_program


@dataclass(frozen=True)
class ActiveSetShared:
    """What programs that differ in rho alone have in common: curvature, and where each part was left."""

    store: CurvatureStore
    left: dict[int, Point]


class ActiveSetNewton:
    """Proximal Newton steps on few entries of the weights, with rho falling to the program's; see `Descent`.

    Where loss and penalty are sums over the outputs, each output is a program of its own. Where one of them couples
    them, as the cross entropy and the group penalty do, there is one program of all outputs. Where a step finds no
    descent (columns that depend on each other, in the last digits) the semismooth Newton method goes on.
    """

    name: ClassVar[str] = "active_set_newton"
    needs: ClassVar[tuple[Need, ...]] = (SMOOTH_LOSS, SUM_OF_NORMS, PENALISED)

    def prepare(self, program: ConvexProgram) -> ActiveSetShared:
        """The curvature matrix of single outputs, and where each part was left."""
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
        parts = _parts(program, W0, prepared or self.prepare(program))
        try:
            status = self._iterate(parts, journal)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        if prepared is not None:
            prepared.left.update({c: part.point for c, part in enumerate(parts) if part.point is not None})
        best = join_outputs([part.best() for part in parts])
        del parts  # whose points need much memory
        if status is Status.STALLED:
            status = SemismoothNewton().improve(_plain(program), journal, best)
        return conclude(program, best.W, best.U, journal, status=status, solver=self.name)

    def _iterate(self, parts: Sequence[Descent], journal: Journal) -> Status:
        def record() -> None:
            journal.record(sum(part.bounds.primal for part in parts), sum(part.bounds.dual for part in parts))

        for part in parts:
            part.begin()
        statuses = {part.solve(journal, record) for part in parts}
        return next((s for s in (Status.MAX_ITER, Status.STALLED) if s in statuses), Status.CONVERGED)


def _parts(program: ConvexProgram, W0: Tensor | None, shared: ActiveSetShared) -> list[Descent]:
    """One iteration for each output, or one for all where the loss or the penalty couples them."""
    program = _plain(program)
    if program.loss.separable and isinstance(program.penalty, L1):
        return [_part(output_program(program, c), c, output_of(W0, c), shared) for c in range(program.n_outputs)]
    return [_part(program, 0, W0, shared)]


def _part(program: ConvexProgram, number: int, start: Tensor | None, shared: ActiveSetShared) -> Descent:
    left = shared.left.get(number)
    known = left if left is not None and start is not None and torch.equal(left.W, start) else None
    alone = program.loss.separable and program.n_outputs == 1
    model = DenseModel(shared.store) if alone else CoupledModel(program)
    return Descent(program, model, start, known)


def _plain(program: ConvexProgram) -> ConvexProgram:
    """The same program with the penalty as `L1` or `RowGroup`, whatever it is called."""
    return replace(program, penalty=L1() if ABSOLUTE_PENALTY.met(program) else RowGroup())
