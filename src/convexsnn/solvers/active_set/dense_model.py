"""The quadratic model of one output, minimised exactly over its dense matrix."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from convexsnn.solvers.active_set.curvature_store import CurvatureStore
from convexsnn.solvers.active_set.model import Task
from convexsnn.solvers.active_set.pivoting import minimise_quadratic

# A share of its diagonal is added to the matrix of the model. It grows by this factor where the matrix is not definite
# enough, up to the largest that is of use, and shrinks by it after other steps.
RIDGE, RIDGE_FACTOR, LARGEST = 1e-7, 100.0, 1e4


class DenseModel:
    """The matrix from a store that many programs share, and a ridge of its own."""

    relaxation: ClassVar[float] = 4.0

    def __init__(self, store: CurvatureStore) -> None:
        self._store, self._ridge = store, RIDGE

    @property
    def exhausted(self) -> bool:
        """Whether the matrix was not definite enough with the largest ridge."""
        return self._ridge > LARGEST

    def minimise(self, task: Task) -> Tensor | None:
        """The minimum; None, and a larger ridge from then on, where the matrix is not definite enough."""
        H = self._store.matrix(task.entries, task.curvature(torch.float64, False))
        H.diagonal().mul_(1.0 + self._ridge)
        after = minimise_quadratic(H, H @ task.start - task.slope, task.level, task.start)
        factor = RIDGE_FACTOR if after is None else 1.0 / RIDGE_FACTOR
        self._ridge = max(RIDGE, self._ridge * factor)
        return after
