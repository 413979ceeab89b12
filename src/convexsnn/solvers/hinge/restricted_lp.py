"""The dual linear program of one hinge output on a working set of columns, kept inside HiGHS between rounds."""

from __future__ import annotations

from threading import Thread

import highspy
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.merge_rows import RowGroups

# Each round adds at most this many columns, or this fraction of the working set, whichever is more. Measured on the
# paper's programs: faster growth leaves the dual simplex method more to repair than it saves in rounds.
LEAST_GROWTH = 50
GROWTH = 0.5
# A working set beyond this size that has no basis yet is first solved by the interior point method with crossover: its
# cost hardly depends on the penalty, while that of the simplex method grows steeply with the number of binding rows.
INTERIOR_COLUMNS = 450
# That first interior point solve takes in up to this many times the columns so far, as it cannot resume.
INTERIOR_GROWTH = 3.0
# Weights below this fraction of the largest are rounding noise of the linear algebra in HiGHS.
NOISE = 1e-12
# Feasibility tolerance of HiGHS, absolute, on a program scaled so that costs, bounds and entries are near one.
FEASIBILITY = 1e-9
# Simplex iterations a row and column, far above what was ever seen (4), at which the basis is taken to be cycling.
ITERATIONS_A_ROW = 100


class QuietHighs(highspy.Highs):
    """HiGHS without output; its constructor enables callbacks, which prints a banner unless silenced before."""

    def enableCallbacks(self) -> None:  # noqa: N802 - the name is highspy's
        self.silent()
        super().enableCallbacks()


class RestrictedLP:
    """min_b -sum b, 0 <= b_g <= c_g, -1 <= (s / rho) D^T (y b) <= 1 for the columns of the working set.

    The dual values of theory.md section 2 are a = s b, with s the mean weight of the groups of equal rows, so that the
    numbers HiGHS sees do not depend on n or rho. Its row duals are then -rho W / s.
    """

    def __init__(self, program: ConvexProgram, groups: RowGroups) -> None:
        """Begin with a program of one output and no columns."""
        self.columns, self.groups, self.rho = program.columns, groups, program.rho
        self.sign = program.targets[:, 0]
        self.scale = float(groups.weights.mean())
        self.working: Tensor = groups.first.new_zeros(0)
        count = len(groups.first)
        self.highs = QuietHighs()
        self.stop = False
        self.interior_done = False
        for interrupt in (self.highs.cbSimplexInterrupt, self.highs.cbIpmInterrupt):
            interrupt.subscribe(self._interrupt_if_stopped)
        self.highs.setOptionValue("primal_feasibility_tolerance", FEASIBILITY)
        self.highs.setOptionValue("dual_feasibility_tolerance", FEASIBILITY)
        self.highs.addVars(count, np.zeros(count), (groups.weights / self.scale).cpu().numpy())
        self.highs.changeColsCost(count, np.arange(count, dtype=np.int32), np.full(count, -1.0))

    def add(self, new: Tensor) -> None:
        """Add the columns `new` (int64, not in the working set) as rows of the program."""
        first = self.groups.first
        entries = self.columns.take(new).dense()[first] * (self.sign[first] * (self.scale / self.rho)).unsqueeze(1)
        matrix = entries.T.cpu().numpy()
        row, index = np.nonzero(matrix)
        starts = np.searchsorted(row, np.arange(len(new)))
        ones = np.ones(len(new))
        self.highs.addRows(
            len(new), -ones, ones, len(index), starts.astype(np.int32), index.astype(np.int32), matrix[row, index]
        )
        self.working = torch.cat([self.working, new])

    def solve(self, force_interior: bool = False) -> tuple[Tensor, Tensor] | None:
        """Weights W (P,) and dual values U (n,) of the optimum, or None if HiGHS reports no optimum.

        Raises
        ------
        KeyboardInterrupt
            After HiGHS was stopped at its next iteration.
        """
        interior = force_interior or self._prefers_interior()
        self.interior_done |= interior
        self.highs.setOptionValue("solver", "ipm" if interior else "simplex")
        limit = ITERATIONS_A_ROW * (len(self.groups.first) + len(self.working))
        self.highs.setOptionValue("simplex_iteration_limit", limit)
        if force_interior:
            self.highs.clearSolver()
        self._run()
        # HiGHS refuses rows with entries that are too large for it, which a tiny rho makes.
        refused = self.highs.getNumRow() != len(self.working)
        if refused or self.highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        solution = self.highs.getSolution()
        return self._weights(np.asarray(solution.row_dual)), self._dual(np.asarray(solution.col_value))

    def violated(self, scores: Tensor) -> Tensor:
        """The columns outside the working set that `scores` = D^T U (P,) violates most; none if it violates none."""
        excess = scores.abs() - self.rho
        excess[self.working] = 0.0
        size = len(self.working)
        most = max(LEAST_GROWTH, int(GROWTH * size))
        if not self.interior_done and size + most > INTERIOR_COLUMNS:
            most = int(INTERIOR_GROWTH * size)
        return excess.argsort(descending=True, stable=True)[: min(int((excess > 0.0).sum()), most)]

    def _prefers_interior(self) -> bool:
        return not self.interior_done and min(len(self.working), len(self.groups.first)) > INTERIOR_COLUMNS

    def _run(self) -> None:
        """Run HiGHS in a thread of its own, so that Ctrl-C reaches this one and can stop it.

        The handling of Ctrl-C in highspy is not used: it prints, may exit the process, and its lock is one for all
        instances.
        """
        thread = Thread(target=self.highs.run, daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.05)
        except KeyboardInterrupt:
            self.stop = True
            thread.join()
            raise

    def _interrupt_if_stopped(self, event: highspy.highs.HighsCallbackEvent) -> None:
        if self.stop:
            event.interrupt()

    def _weights(self, row_dual: NDArray[np.float64]) -> Tensor:
        values = torch.as_tensor(row_dual * (-self.scale / self.rho), device=self.sign.device)
        values[values.abs() <= NOISE * values.abs().max()] = 0.0
        W = values.new_zeros(self.columns.shape[1])
        W[self.working] = values
        return W

    def _dual(self, col_value: NDArray[np.float64]) -> Tensor:
        a = torch.as_tensor(col_value, device=self.sign.device) * self.scale
        return -self.sign * self.groups.spread(torch.minimum(a.clamp(min=0.0), self.groups.weights))
