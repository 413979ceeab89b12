"""The elastic penalty: the row-group norm and a ridge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from convexsnn.checks import check_real
from convexsnn.penalties.group import RowGroup
from convexsnn.penalties.protocol import Norm


@dataclass(frozen=True)
class Elastic:
    """N(W) + (ridge / 2) |W|_F^2, with N the row-group norm (of one output: the sum of absolute values).

    It is not a norm: doubling W more than doubles it. Like N it makes whole rows of W zero. Unlike N it is strictly
    convex, so the optimal weights are unique, and columns that are much alike share their weight.

    With t_j the norm of row j of G, the conjugate is (rho Omega)*(G) = sum_j max(t_j - rho, 0)^2 / (2 rho ridge). It
    is finite everywhere, so the dual program has no constraint on D^T U.

    Attributes
    ----------
    ridge : float
        Positive.

    References
    ----------
    H. Zou, T. Hastie, Regularization and variable selection via the elastic net, J. R. Stat. Soc. B 67 (2005).
    """

    name: ClassVar[str] = "elastic"
    ridge: float = 1.0

    def __post_init__(self) -> None:
        check_real("ridge", self.ridge, 0.0, open_minimum=True)

    @property
    def norm(self) -> Norm:
        """The row-group norm."""
        return RowGroup()

    def value(self, W: Tensor) -> Tensor:
        return self.norm.value(W) + 0.5 * self.ridge * W.square().sum()

    def prox(self, W: Tensor, step: float) -> Tensor:
        """The proximal map of the norm, divided by 1 + step * ridge."""
        return self.norm.prox(W, step) / (1.0 + step * self.ridge)

    def excess(self, G: Tensor, rho: float) -> float:  # noqa: ARG002 - nothing is outside
        """0."""
        return 0.0

    def conjugate(self, G: Tensor, rho: float) -> Tensor:
        return (self.norm.row_norms(G) - rho).clamp(min=0.0).square().sum() / (2.0 * rho * self.ridge)
