"""What the steps of `Descent` ask for: the Hessian of the data term over some entries of the weights."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from convexsnn.row_matrices import RowMatrices


class Curvature(Protocol):
    """The Hessian of the data term over entries that are asked for."""

    def matrix(self, index: Tensor, curvature: RowMatrices) -> Tensor:
        """The float64 matrix (k, k) of k distinct entries, for the curvature of F at each row of the scores.

        An entry is named by its place in the flattened weights (P, C), an int64 number.
        """
        ...
