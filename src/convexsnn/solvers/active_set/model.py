"""What the steps of `Descent` ask for: a better point of the quadratic model on some entries of the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, cast

import torch
from torch import Tensor

from convexsnn.losses import SmoothLoss
from convexsnn.program import ConvexProgram
from convexsnn.row_matrices import RowMatrices
from convexsnn.rowwise import blocks_of_rows


@dataclass(frozen=True)
class Task:
    """F(D W) as a quadratic of some entries of W, plus a penalty, to be made small.

    Attributes
    ----------
    entries : int64 tensor of shape (k,)
        Ascending places in the flattened weights (P, C): column * C + output.
    start, slope : float64 tensors of shape (k,)
        Their values, and the gradient of F(D W) there.
    curvature : callable
        Gives the Hessian of F in the scores, of n rows, in an arithmetic, and whether it lies row by row in memory.
    level : float
        The weight of the penalty.
    accuracy : float
        The part of the error that may be left, for models that are not minimised exactly.
    """

    entries: Tensor
    start: Tensor
    slope: Tensor
    curvature: Callable[[torch.dtype, bool], RowMatrices]
    level: float
    accuracy: float


class StepModel(Protocol):
    """A way to minimise such models one after another, of one program.

    Attributes
    ----------
    relaxation : float
        From zero, rho begins where W = 0 is optimal, and falls by this factor from step to step.
    exhausted : bool
        Whether a next try would be of no use.
    """

    relaxation: ClassVar[float]

    @property
    def exhausted(self) -> bool: ...

    def minimise(self, task: Task) -> Tensor | None:
        """Values (k,) of the entries at which the model is smaller; None where another try is needed."""
        ...


def curvature_of(
    program: ConvexProgram, scores: Tensor, damping: float, dtype: torch.dtype, rowwise: bool
) -> RowMatrices:
    """The Hessian of F at the scores (n, C), row by row, with a share of its largest entry added to its diagonal.

    It lies row by row in memory, or output by output: each is fastest for one way to multiply.
    """
    w, Y, loss = program.row_weights.unsqueeze(1), program.targets, cast(SmoothLoss, program.loss)
    blocks = blocks_of_rows(len(scores))
    added = 0.0
    if damping > 0.0:
        added = damping * max(float((w[b] * loss.curvature(scores[b], Y[b]).diagonal).max()) for b in blocks)
    memory = torch.empty((scores if rowwise else scores.T).shape, dtype=dtype, device=scores.device)
    diagonal = memory if rowwise else memory.T
    vector, heads = None, ()
    for rows in blocks:
        own, shared, heads = loss.curvature(scores[rows], Y[rows])
        diagonal[rows] = w[rows] * own + added
        if shared is not None:
            vector = torch.empty_like(diagonal) if vector is None else vector
            vector[rows] = w[rows].sqrt() * shared
    return RowMatrices(diagonal, vector, heads)
