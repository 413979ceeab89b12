"""The ridge penalty: half the sum of squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor


@dataclass(frozen=True)
class Ridge:
    """|W|_F^2 / 2.

    It leaves no column out, so a network that it trains reads every neuron; `columns` of a fit leaves out those of
    small weight. It is not above any norm: a weight that is spread over many equal columns costs nothing in the end. So
    there is no bound for networks of any hidden weights.

    The conjugate is (rho Omega)*(G) = |G|_F^2 / (2 rho). It is finite everywhere, so the dual program has no constraint
    on D^T U.

    References
    ----------
    A. E. Hoerl, R. W. Kennard, Ridge regression: biased estimation for nonorthogonal problems, Technometrics 12 (1970).
    """

    name: ClassVar[str] = "ridge"

    def value(self, W: Tensor) -> Tensor:
        return 0.5 * W.square().sum()

    def prox(self, W: Tensor, step: float) -> Tensor:
        """W / (1 + step)."""
        return W / (1.0 + step)

    def excess(self, G: Tensor, rho: float) -> float:  # noqa: ARG002 - nothing is outside
        """0."""
        return 0.0

    def conjugate(self, G: Tensor, rho: float) -> Tensor:
        return G.square().sum() / (2.0 * rho)
