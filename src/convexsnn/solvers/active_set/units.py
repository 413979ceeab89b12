"""What the penalty takes together: single entries of the weights, or whole rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from convexsnn.penalties import Norm
from convexsnn.row_matrices import RowMatrices


class Units(Protocol):
    """The parts of the weights (P, C) that are zero or not as a whole. The penalty is the sum of their sizes."""

    def sizes(self, X: Tensor) -> Tensor:
        """The norm of each unit of X (P, C): shape (P, C) of entries, (P, 1) of rows."""
        ...

    def directions(self, X: Tensor) -> Tensor:
        """The gradient of the penalty at X (P, C), zero where a unit is zero."""
        ...

    def along(self, X: Tensor, directions: Tensor) -> Tensor:
        """How far each unit of X goes in its direction; of the shape of `sizes`."""
        ...

    def bend(self, X: Tensor, level: float) -> RowMatrices | None:
        """The Hessian of level times the penalty on the units that are not zero; None where it vanishes."""
        ...

    def sets(self, outputs: int) -> Sequence[range]:
        """The smallest sets of outputs that no unit leaves."""
        ...


class EntryUnits:
    """The l1 penalty: each entry is a unit."""

    def sizes(self, X: Tensor) -> Tensor:
        """See `Units`."""
        return X.abs()

    def directions(self, X: Tensor) -> Tensor:
        """See `Units`."""
        return X.sign()

    def along(self, X: Tensor, directions: Tensor) -> Tensor:
        """See `Units`."""
        return X * directions

    def bend(self, X: Tensor, level: float) -> RowMatrices | None:  # noqa: ARG002 - of any
        """None."""
        return None

    def sets(self, outputs: int) -> Sequence[range]:
        """One for each output."""
        return [range(c, c + 1) for c in range(outputs)]


class RowUnits:
    """The group penalty: each row is a unit."""

    def sizes(self, X: Tensor) -> Tensor:
        """See `Units`."""
        return X.norm(dim=1, keepdim=True)

    def directions(self, X: Tensor) -> Tensor:
        """See `Units`."""
        sizes = self.sizes(X)
        return torch.where(sizes > 0.0, X / sizes, 0.0)

    def along(self, X: Tensor, directions: Tensor) -> Tensor:
        """See `Units`."""
        return (X * directions).sum(dim=1, keepdim=True)

    def bend(self, X: Tensor, level: float) -> RowMatrices | None:
        """Of a row x it is (I - x x^T / |x|^2) level / |x|."""
        sizes = self.sizes(X)
        each = torch.where(sizes > 0.0, level / sizes, 0.0)
        return RowMatrices(each.expand_as(X), each.sqrt() * self.directions(X))

    def sets(self, outputs: int) -> Sequence[range]:
        """All outputs together."""
        return [range(outputs)]


def units_of(penalty: Norm, outputs: int) -> Units:
    """The units of a penalty on weights of so many outputs.

    Raises
    ------
    ValueError
        Of a norm that is neither the sum of absolute entries nor that of the Euclidean norms of rows.
    """
    match penalty.exponent(outputs):
        case 1.0:
            return EntryUnits()
        case 2.0:
            return RowUnits()
        case exponent:
            raise ValueError(f"penalty {penalty.name!r} is a sum of l_{exponent} norms: l_1 and l_2 are known")
