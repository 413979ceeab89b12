"""The vocabulary of penalties: what every penalty owns, and what one may own besides.

A penalty Omega is a norm of the readout weights W (P, C) that is a sum over the rows of one norm of R^C, so that its
dual norm is the largest of the dual norms of the rows. `Penalty` is what the program, its certificate and its bounds
need; `PenaltyWithJacobian` is a capability, for which a solver asks with ``isinstance``. No code asks for a penalty by
its name.

To add a penalty, write a file with a frozen dataclass beside this one and enter it in `penalties.PENALTIES`. Its exact
form in ``proof/inequality.py`` is what ``verify --exact`` needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from convexsnn.row_matrices import RowMatrices


class Penalty(Protocol):
    """A norm of the weights; the dual feasible set is {U : dual_norm(D^T U) <= rho}.

    Attributes
    ----------
    name : str
        The one by which users, certificates and files call it.
    """

    name: ClassVar[str]

    def exponent(self, n_outputs: int) -> float | None:
        """The p for which it is the sum of the l_p norms of rows of so many entries; None where there is no such p.

        Of one output every such norm is the absolute value, which is p = 1.
        """
        ...

    def value(self, W: Tensor) -> Tensor:
        """Omega(W) for weights (P, C)."""
        ...

    def row_norms(self, G: Tensor) -> Tensor:
        """What each row of G (P, C) contributes to the dual norm, which is their maximum; shape (P,)."""
        ...

    def dual_norm(self, G: Tensor) -> Tensor:
        """Omega*(G) for products G = D^T U (P, C); 0 without rows."""
        ...

    def row_norm_within(self, caps: Tensor) -> Tensor:
        """An upper bound of the dual norm of a row g with |g_c| <= caps_c for each of the C outputs."""
        ...

    def prox(self, W: Tensor, step: float) -> Tensor:
        """The proximal map argmin_X |X - W|^2 / 2 + step * Omega(X)."""
        ...


@dataclass(frozen=True)
class ProximalPoint:
    """A proximal point W (P, C) and the inverse of the proximal map's Jacobian there.

    The Jacobian vanishes outside `active`; on it, its inverse is `inverse`, row by row: the form that
    `SmoothLoss.curvature` has too.
    """

    W: Tensor
    active: Tensor
    inverse: RowMatrices


@runtime_checkable
class PenaltyWithJacobian(Penalty, Protocol):
    """A penalty whose proximal map has a Jacobian of the form that Newton's method uses."""

    def proximal_point(self, Z: Tensor, thresholds: Tensor) -> ProximalPoint:
        """The proximal map at Z (P, C) with a step of its own for each row, thresholds (P, 1), and its Jacobian."""
        ...


class SumOverRows(ABC):
    """What penalties have in common: as a sum over the rows, their dual norm is the largest dual norm of a row."""

    @abstractmethod
    def row_norms(self, G: Tensor) -> Tensor: ...

    def dual_norm(self, G: Tensor) -> Tensor:
        """Omega*(G) for products G = D^T U (P, C); 0 without rows."""
        return self.row_norms(G).max() if G.numel() else G.new_zeros(())
