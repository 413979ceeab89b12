"""The vocabulary of penalties: what every penalty owns, and what one may own besides.

A penalty Omega is a convex function of the readout weights W (P, C) that is zero at W = 0. `Penalty` is what the
program and its certificate need. Most penalties are norms themselves: a `Norm` is a sum over the rows of one norm of
R^C, so that its dual norm is the largest of the dual norms of the rows. A `PenaltyAboveNorm` is nowhere below a norm
N, its `norm`. Whoever needs one of the two asks for it by `require_norm` or `norm_below`. `PenaltyWithJacobian` is a
capability, for which a solver asks with ``isinstance``. No code asks for a penalty by its name.

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
    """A convex function Omega of the weights, which is zero at W = 0.

    Its part of the dual program is the conjugate (rho Omega)*(G) = sup_W <G, W> - rho Omega(W) at G = D^T U. That of a
    norm is 0 where the dual norm of G is at most rho, and infinite elsewhere. That of other penalties may be finite
    everywhere.

    Attributes
    ----------
    name : str
        The one by which users, certificates and files call it.
    """

    name: ClassVar[str]

    def value(self, W: Tensor) -> Tensor:
        """Omega(W) for weights (P, C)."""
        ...

    def prox(self, W: Tensor, step: float) -> Tensor:
        """The proximal map argmin_X |X - W|^2 / 2 + step * Omega(X)."""
        ...

    def excess(self, G: Tensor, rho: float) -> float:
        """The number that G (P, C) must be divided by, where it is above 1, to lie in the domain of (rho Omega)*."""
        ...

    def conjugate(self, G: Tensor, rho: float) -> Tensor:
        """(rho Omega)*(G) for products G (P, C) in its domain; it grows with the size of every entry."""
        ...


@runtime_checkable
class PenaltyAboveNorm(Penalty, Protocol):
    """A penalty that is a norm N, or one and more. Bounds for networks of any hidden weights rest on N."""

    @property
    def norm(self) -> Norm:
        """The norm N with Omega >= N, and Omega(W) - N(W) of second order in W at zero; a norm is its own."""
        ...


class Norm(ABC):
    """A penalty that is a norm; the dual feasible set is {U : dual_norm(D^T U) <= rho}.

    As a sum over the rows, its dual norm is the largest dual norm of a row.
    """

    name: ClassVar[str]

    @property
    def norm(self) -> Norm:
        """Itself."""
        return self

    @abstractmethod
    def exponent(self, n_outputs: int) -> float | None:
        """The p for which it is the sum of the l_p norms of rows of so many entries; None where there is no such p.

        Of one output every such norm is the absolute value, which is p = 1.
        """

    @abstractmethod
    def value(self, W: Tensor) -> Tensor:
        """See `Penalty`."""

    @abstractmethod
    def prox(self, W: Tensor, step: float) -> Tensor:
        """See `Penalty`."""

    @abstractmethod
    def row_norms(self, G: Tensor) -> Tensor:
        """What each row of G (P, C) contributes to the dual norm, which is their maximum; shape (P,)."""

    @abstractmethod
    def row_norm_within(self, caps: Tensor) -> Tensor:
        """An upper bound of the dual norm of a row g with |g_c| <= caps_c for each of the C outputs."""

    def dual_norm(self, G: Tensor) -> Tensor:
        """Omega*(G) for products G = D^T U (P, C); 0 without rows."""
        return self.row_norms(G).max() if G.numel() else G.new_zeros(())

    def excess(self, G: Tensor, rho: float) -> float:
        """Omega*(G) / rho."""
        return float(self.dual_norm(G)) / rho

    def conjugate(self, G: Tensor, rho: float) -> Tensor:  # noqa: ARG002 - of any
        """0."""
        return G.new_zeros(())


def require_norm(penalty: Penalty, what: str) -> Norm:
    """The penalty, where it is a norm.

    Raises
    ------
    ValueError
        Where it is not: names the penalty and `what` needs a norm.
    """
    if isinstance(penalty, Norm):
        return penalty
    raise ValueError(f"penalty {penalty.name!r} is not a norm, and {what} needs one: choose penalty 'l1' or 'group'")


def norm_below(penalty: Penalty, what: str) -> Norm:
    """The norm that the penalty is nowhere below.

    Raises
    ------
    ValueError
        Where there is none: names the penalty and `what` needs a norm.
    """
    if isinstance(penalty, PenaltyAboveNorm):
        return penalty.norm
    raise ValueError(f"penalty {penalty.name!r} is not above a norm, and {what} needs one: choose 'l1' or 'group'")


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
