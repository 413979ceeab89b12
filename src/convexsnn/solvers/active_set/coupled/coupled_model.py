"""The quadratic model of outputs that depend on one another, made smaller by sweeps and Newton's method in turn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.penalties import require_norm
from convexsnn.program import ConvexProgram
from convexsnn.solvers.active_set.coupled.grams import Grams
from convexsnn.solvers.active_set.coupled.quadratic import Quadratic
from convexsnn.solvers.active_set.coupled.row_sweeps import RowSweeps
from convexsnn.solvers.active_set.coupled.subspace import newton_on_support
from convexsnn.solvers.active_set.coupled.sweeps import minimise_by_output
from convexsnn.solvers.active_set.coupled.unpacked import UnpackedColumns
from convexsnn.solvers.active_set.model import Task
from convexsnn.solvers.active_set.units import units_of

# So many rounds of sweeps at most, until at most this part of the units in use changes in one of them.
ROUNDS, FEW = 5, 0.1


class CoupledModel:
    """The matrix of the model is never made: rows times outputs may be many, and so may be the entries.

    Sweeps over the blocks of single outputs find out which units are used, and Newton's method on these does the rest.
    Its systems are solved by conjugate gradients. Each of the two is taken as far as it makes the model smaller. A step
    of Newton's method costs many times as much as sweeps do, and is of no use on units that are not those of the
    minimum. So it waits until sweeps change few of them.

    rho falls slowly, because a larger rho has a smaller support, on which a step costs little.
    """

    relaxation: ClassVar[float] = 2.0

    def __init__(self, program: ConvexProgram) -> None:
        self._columns, self._outputs = program.columns, program.n_outputs
        self._units = units_of(require_norm(program.penalty, "the active set"), self._outputs)
        self._grams = Grams()

    @property
    def exhausted(self) -> bool:
        """Never: a next try is another only if the point or the curvature is."""
        return False

    def minimise(self, task: Task) -> Tensor:
        """Values (k,) of the entries at which the model is smaller, or those of the start."""
        chosen, row = torch.unique(task.entries // self._outputs, return_inverse=True)
        place = row, task.entries % self._outputs

        def spread(values: Tensor) -> Tensor:
            return torch.zeros(len(chosen), self._outputs, dtype=values.dtype, device=values.device).index_put_(
                place, values
            )

        columns = UnpackedColumns(self._columns, chosen)
        quadratic = Quadratic(
            columns,
            task.curvature(columns.dtype, columns.by_tables),
            self._units,
            task.level,
            spread(torch.ones_like(task.entries, dtype=torch.bool)),
            (spread(task.start), spread(task.slope)),
        )
        if RowSweeps.suit(quadratic):
            settled, grams = _settle(quadratic, RowSweeps(quadratic).minimise), None
        else:
            grams = self._grams.of(quadratic, chosen, quadratic.used)
            settled = _settle(quadratic, partial(minimise_by_output, grams=grams))
        if settled:
            support = (quadratic.units.sizes(quadratic.x) > 0.0).expand_as(quadratic.x)
            grams = grams or self._grams.of(quadratic, chosen, support)
            quadratic.go_towards(newton_on_support(quadratic, grams, task.accuracy))
        return quadratic.x[place]


def _settle(quadratic: Quadratic, sweep: Callable[[Quadratic], Tensor]) -> bool:
    """Sweep until few units come or go, or turn round; False where many do to the end."""
    for _ in range(ROUNDS):
        before = quadratic.units.directions(quadratic.x)
        quadratic.go_towards(sweep(quadratic))
        used = quadratic.units.sizes(quadratic.x) > 0.0
        changed = quadratic.units.along(quadratic.x, before) <= 0.0
        changed &= used | (quadratic.units.sizes(before) > 0.0)
        if int(changed.sum()) <= FEW * int(used.sum()):
            return True
    return False
