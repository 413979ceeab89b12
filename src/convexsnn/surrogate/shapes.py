"""Surrogate derivatives: what stands for the derivative of a spike, s = 1[distance >= 0], on the way back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from convexsnn.checks import check_choice, check_real


def _arctan(x: Tensor) -> Tensor:
    return 1.0 / (1.0 + (math.pi * x).square_())


def _fast_sigmoid(x: Tensor) -> Tensor:
    return (1.0 + x.abs()).square_().reciprocal_()


def _straight_through(x: Tensor) -> Tensor:
    return (x.abs() <= 1.0).to(x.dtype)


def _triangle(x: Tensor) -> Tensor:
    return (1.0 - x.abs()).clamp_(min=0.0)


def _exponential(x: Tensor) -> Tensor:
    return x.abs().neg_().exp_()


SHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "arctan": _arctan,
    "fast_sigmoid": _fast_sigmoid,
    "straight_through": _straight_through,
    "triangle": _triangle,
    "exponential": _exponential,
}


@dataclass(frozen=True)
class SurrogateShape:
    """A bump of height 1 around the threshold, as a function of x = (potential - threshold) / width.

    Attributes
    ----------
    shape : {"arctan", "fast_sigmoid", "straight_through", "triangle", "exponential"}
        1 / (1 + (pi x)^2); 1 / (1 + abs(x))^2; 1[abs(x) <= 1]; max(0, 1 - abs(x)); exp(-abs(x)).
    width : float
        > 0, infinity allowed: "straight_through" is then the identity. snnTorch's ``atan(alpha=2)`` is "arctan" of
        width 1, its ``fast_sigmoid(slope)`` is "fast_sigmoid" of width 1 / slope, and its
        ``straight_through_estimator()`` is "straight_through" of infinite width.
    """

    shape: str = "arctan"
    width: float = 1.0

    def __post_init__(self) -> None:
        check_choice("surrogate", self.shape, SHAPES)
        if self.width != math.inf:
            check_real("width", self.width, 0.0, open_minimum=True)

    def derivative(self, distance: Tensor) -> Tensor:
        """The stand-in for ds / d distance; a new tensor of the shape of `distance`."""
        return SHAPES[self.shape](distance / self.width)
