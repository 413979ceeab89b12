"""The vocabulary of losses: what every loss owns, and what one may own besides.

A loss maps scores ``S`` and encoded targets ``Y``, both of shape (n, C), to one number a row. The data term of the
convex program is their weighted sum, F(S) = sum_i w_i loss(y_i, S_i). `Loss` is what the program and its certificate
need. The protocols after it are capabilities: a solver, a bound or an estimator asks for those that it needs with
``isinstance``, and refuses a loss without them. No code asks for a loss by its name.

To add a loss, write a file with a frozen dataclass beside this one and enter it in `losses.LOSSES`. Its exact form in
``proof/losses.py`` is what ``verify --exact`` needs.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from convexsnn.losses.balance import balanced_entries
from convexsnn.row_matrices import RowMatrices

TargetKind = Literal["classes", "reals"]


class Head(NamedTuple):
    """One of several categorical outputs: how many classes it has, and its weight in the loss."""

    classes: int
    weight: float = 1.0


class Loss(Protocol):
    """What the convex program and its certificate need of a loss, convex in the scores.

    Attributes
    ----------
    name : str
        The one by which users, certificates and files call it.
    separable : bool
        Whether it is a sum over the outputs of a loss of one score, so that outputs do not depend on one another.
    target_kinds : frozenset of {"classes", "reals"}
        What it can learn: class labels, which `encode` turns into targets, or real numbers, which are the targets.
    heads : tuple of Head
        Of a loss of several categorical outputs; () otherwise.
    """

    name: ClassVar[str]
    separable: ClassVar[bool]
    target_kinds: ClassVar[frozenset[TargetKind]]

    @property
    def heads(self) -> tuple[Head, ...]: ...

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        """Class indices (n,) as float64 targets (n, C); only of a loss that can learn classes."""
        ...

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        """The loss of each row, shape (n,)."""
        ...

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        """A (sub)gradient of each row's loss in its scores, shape (n, C)."""
        ...

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        """sup_s <s, V_i> - loss(y_i, s) of each row, shape (n,); inf outside its domain, which holds t V with V."""
        ...

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:
        """A point of the conjugate's domain near V (n, C): V itself where that is inside."""
        ...


@runtime_checkable
class SmoothLoss(Loss, Protocol):
    """A loss with a (generalised) Hessian."""

    def curvature(self, S: Tensor, Y: Tensor) -> RowMatrices:
        """The Hessian of each row's loss in its scores."""
        ...


@runtime_checkable
class DirectedLoss(Loss, Protocol):
    """A loss that bounds the rounding of its value and conjugate, so that certificates on it are proved ones.

    The margins count 4 units of rounding for each elementary function, which torch computes to within 1 or 2.
    """

    def value_within(self, S: Tensor, tail: Tensor, error: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each row and a margin, both of shape (n,), for any scores within `error` of S + tail."""
        ...

    def conjugate_within(self, V: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        """The conjugate of each row and a margin, (n,), for V with a relative error of 4 units an entry.

        What the domain determines from other entries is not read (`completion`).
        """
        ...

    def completion(self, U: Tensor, Y: Tensor) -> Tensor | None:
        """What must be added to U (n, C), which lies in the domain up to rounding, to lie in it; None for nothing."""
        ...

    def excess(self, V: Tensor, Y: Tensor) -> float:
        """By what factor the completed V must be divided to lie in the domain; at most 1 where it lies in it."""
        ...


@runtime_checkable
class BalancedLoss(Loss, Protocol):
    """A loss whose dual vectors can be made to sum to zero in each output, as a free intercept needs."""

    def balanced(self, U: Tensor, Y: Tensor, weights: Tensor) -> Tensor:
        """A point of the domain of F* near its point U (n, C) whose columns sum to zero exactly; U where it is one.

        The entries of a row that the domain determines from others are those that it determines (`completion`). The
        weights (n,) are those of the rows.
        """
        ...


@runtime_checkable
class PiecewiseLinearLoss(Loss, Protocol):
    """A loss that is piecewise linear in the margins y s, with y = +-1, and the sum of this over the outputs.

    Attributes
    ----------
    margin_pieces : tuple of (slope, intercept)
        The loss of one margin m is the largest of slope * m + intercept.
    """

    margin_pieces: ClassVar[tuple[tuple[float, float], ...]]


@runtime_checkable
class ProbabilisticLoss(Loss, Protocol):
    """A loss that models class probabilities."""

    def probabilities(self, S: Tensor) -> Tensor:
        """Class probabilities (n, classes) of scores (n, C) of one categorical output."""
        ...


@runtime_checkable
class LossOfHeads(Loss, Protocol):
    """A loss that takes several categorical outputs."""

    def with_heads(self, heads: tuple[Head, ...]) -> Loss:
        """The same loss for outputs of these classes and weights."""
        ...


class SumOverOutputs:
    """What losses have in common that are a sum over the outputs: they are separable and have no heads."""

    separable: ClassVar[bool] = True

    @property
    def heads(self) -> tuple[Head, ...]:
        """None."""
        return ()

    def completion(self, U: Tensor, Y: Tensor) -> Tensor | None:  # noqa: ARG002
        """None: a float lies in an interval with float ends, or it does not."""
        return None

    def excess(self, V: Tensor, Y: Tensor) -> float:  # noqa: ARG002
        """1."""
        return 1.0

    def balanced(self, U: Tensor, Y: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG002 - the domain holds 0 and U
        """See `BalancedLoss`."""
        return balanced_entries(U)
