"""What the steps of `Descent` ask for: a better point of the quadratic model on some entries of the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from convexsnn.row_matrices import RowMatrices


@dataclass(frozen=True)
class Task:
    """F(D W) as a quadratic of some entries of W, plus a penalty, to be made small.

    Attributes
    ----------
    entries : int64 tensor of shape (k,)
        Ascending places in the flattened weights (P, C): column * C + output.
    start, slope : float64 tensors of shape (k,)
        Their values, and the gradient of F(D W) there.
    curvature : RowMatrices
        The Hessian of F in the scores, of n rows.
    level : float
        The weight of the penalty.
    accuracy : float
        The part of the error that may be left, for models that are not minimised exactly.
    """

    entries: Tensor
    start: Tensor
    slope: Tensor
    curvature: RowMatrices
    level: float
    accuracy: float


class StepModel(Protocol):
    """A way to minimise such models one after another, of one program.

    Attributes
    ----------
    exhausted : bool
        Whether a next try would be of no use.
    """

    @property
    def exhausted(self) -> bool: ...

    def minimise(self, task: Task) -> Tensor | None:
        """Values (k,) of the entries at which the model is smaller; None where another try is needed."""
        ...
