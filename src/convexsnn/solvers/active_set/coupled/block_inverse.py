"""An approximate inverse of the Hessian on the support: a block for each output, and a correction that couples them."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.active_set.coupled.coarse import Coarse
from convexsnn.solvers.active_set.coupled.grams import Gram
from convexsnn.solvers.newton.factor import cholesky, solve_factored


class BlockInverse:
    """Sum of the inverses of the blocks of single outputs, and of the inverses on coarse spaces.

    Parameters
    ----------
    grams : list of Gram
        One for each output.
    active : bool tensor of shape (k, C)
        The support.
    bend : RowMatrices or None
        The Hessian of the penalty, of k rows.
    coarse : list of Coarse
        Where the blocks alone are far from the Hessian.
    """

    def __init__(self, grams: list[Gram], active: Tensor, bend: RowMatrices | None, coarse: list[Coarse]) -> None:
        self._coarse, self._lower, places = coarse, list[Tensor](), list[Tensor]()
        own = None if bend is None else bend.own
        for c, gram in enumerate(grams):
            columns = torch.nonzero(active[:, c]).flatten()
            matrix = gram.between(columns).clone()
            if own is not None:
                matrix.diagonal().add_(own[columns, c].to(matrix.dtype))
            self._lower.append(cholesky(matrix))
            places.append(columns * active.shape[1] + c)
        self._places = torch.cat(places)

    def apply(self, X: Tensor, active: Tensor) -> Tensor:
        """The approximate inverse times X (k, C), on the part `active` of the support, outside of which X is zero."""
        right = X.flatten()[self._places].to(self._lower[0].dtype).unsqueeze(1)
        parts = right.split([len(lower) for lower in self._lower])
        solved = torch.cat([solve_factored(*pair) for pair in zip(self._lower, parts, strict=True)])
        out = torch.zeros_like(X)
        out.view(-1)[self._places] = solved.squeeze(1).to(X.dtype)
        for coarse in self._coarse:
            out += coarse.apply(X)
        return torch.where(active, out, 0.0)
