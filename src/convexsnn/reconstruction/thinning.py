"""Fewer columns at the same objective (Caratheodory)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.penalties import require_norm
from convexsnn.program import ConvexProgram, check_penalised

# Singular values, relative to the largest, that are taken for zero; and the rise of the objective that is rounding.
RANK = 1e-10
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Thinned:
    """The outcome of `thin`.

    Attributes
    ----------
    W : float64 tensor of shape (P, C)
    support : int
        Columns that carry weight, at most n * C + 1.
    support_before : int
    primal, primal_before : float
        The objective, which has not risen but for rounding.
    """

    W: Tensor
    support: int
    support_before: int
    primal: float
    primal_before: float


@isolated
def thin(program: ConvexProgram, W: Tensor) -> Thinned:
    """Weights on at most n * C + 1 columns with the same outputs and a penalty that is no larger.

    The outputs D W = sum_j d_j W_j^T are a sum of atoms, one a column, which may be weighed anew by factors >= 0. As
    long as atoms are linearly dependent, a dependency is followed, in the direction in which the penalty does not rise,
    until an atom vanishes. So the outputs stay as they are, and the penalty falls only where W was not optimal.

    Parameters
    ----------
    program : ConvexProgram
        Any loss; a norm as penalty, such as l1 or group.
    W : float64 tensor of shape (P, C)

    References
    ----------
    theory.md section 6; Caratheodory's theorem for cones.
    """
    given = W.to(torch.float64)
    check_penalised(program, "thinning")
    if tuple(given.shape) != (program.n_columns, program.n_outputs) or not bool(torch.isfinite(given).all()):
        raise ValueError(f"W must be finite, of shape ({program.n_columns}, {program.n_outputs})")
    used = torch.nonzero(given.any(dim=1)).flatten()
    if len(used) == 0:
        value = program.primal(given)
        return Thinned(given, 0, 0, value, value)
    weights = given[used].numpy()
    atoms = _atoms(program.columns.take(used).dense().numpy(), weights)
    norm = require_norm(program.penalty, "thinning")
    costs = np.array([float(norm.value(torch.from_numpy(row[None]))) for row in weights])
    scale = _without_dependencies(atoms, costs)
    thinned = torch.zeros_like(given)
    thinned[used] = torch.from_numpy(weights * scale[:, None])
    before, after = program.primal(given), program.primal(thinned)
    if after > before + ROUNDING * abs(before):
        raise ArithmeticError(
            f"thinning raised the objective from {before!r} to {after!r}: the columns are too similar"
        )
    return Thinned(thinned, int(thinned.any(dim=1).sum()), len(used), after, before)


def _atoms(D: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """d_j W_j^T for every column j, as a matrix of n C rows."""
    return (D[:, None, :] * weights.T[None]).reshape(-1, D.shape[1])


def _without_dependencies(atoms: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Factors >= 0 with the same atoms @ factors and costs @ factors no larger, on independent atoms."""
    factors = np.ones(atoms.shape[1])
    while True:
        active = np.flatnonzero(factors)
        kernel = _kernel(atoms[:, active] * factors[active])
        if kernel.shape[1] == 0:
            return factors
        # One factorisation gives many dependencies: each removes one atom, and the others are made to avoid it.
        step, own_costs = np.ones(len(active)), costs[active] * factors[active]
        while kernel.shape[1]:
            z = kernel[:, 0]
            z = -z if own_costs @ z > 0 else z
            if z.min() >= 0:  # nothing would vanish: the cost is zero along z
                z = -z
            room = np.where(z < 0, step / np.maximum(-z, 1e-300), np.inf)
            gone = int(room.argmin())
            step = np.maximum(step + room[gone] * z, 0.0)
            step[gone] = 0.0
            kernel = _avoid(kernel, gone)
        factors[active] *= step


def _kernel(matrix: np.ndarray) -> np.ndarray:
    """An orthonormal basis of {z : matrix @ z = 0}, by columns."""
    if matrix.shape[0] > matrix.shape[1]:
        matrix = np.linalg.qr(matrix).R
    _, values, right = np.linalg.svd(matrix, full_matrices=True)
    rank = int((values > RANK * values.max(initial=0.0)).sum())
    return right[rank:].T


def _avoid(kernel: np.ndarray, at: int) -> np.ndarray:
    """The part of the span of `kernel` that is zero at one entry."""
    row = kernel[at]
    if np.abs(row).max() == 0.0:
        return kernel[:, 1:]
    # A reflection that takes the row to its first axis: the other columns then vanish there.
    mirror = row.copy()
    mirror[0] += np.copysign(np.linalg.norm(row), row[0])
    rest = (kernel - np.outer(kernel @ mirror, 2.0 * mirror / (mirror @ mirror)))[:, 1:]
    rest[at] = 0.0
    return rest
