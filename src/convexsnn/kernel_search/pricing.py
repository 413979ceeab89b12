"""What kernels are worth to a readout, and which of many to take together."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.kernel_search.readout import KernelReadout

# So many times as many as are taken are looked at together: those that are worth most alone.
SHORTLISTED = 8


def best_together(readout: KernelReadout, columns: Tensor, rows: Tensor, count: int) -> Tensor:
    """The kernels that lower the objective most, one after another.

    A column d is worth |d^T R|^2 / (|d|^2 + rho / 2), where R are the residuals. The objective falls by so much when
    its weights are added. Only that part of d counts which the readout's own columns, and those taken before, leave
    over.

    Parameters
    ----------
    readout : KernelReadout
    columns : float64 tensor of shape (r, m)
        Of all candidates, on some of the rows, times the roots of the rows' weights.
    rows : int64 tensor of shape (r,)
        Which rows these are.
    count : int
        So many are taken.

    Returns
    -------
    int64 tensor of shape (count,)
        Their numbers.

    References
    ----------
    Chen, Billings, Luo, Orthogonal least squares methods and their application to non-linear system identification,
    International Journal of Control 50 (1989).
    """
    A, R = readout.spectrum.rows.whole[rows], readout.residuals[rows]
    lam = 0.5 * readout.rho * len(rows) / len(readout.residuals)
    gram = A.T @ A + lam * torch.eye(A.shape[1], dtype=A.dtype)
    rest = columns - A @ torch.linalg.solve(gram, A.T @ columns)
    shortlist = _worth(rest, R, lam).argsort(descending=True, stable=True)[: SHORTLISTED * count]
    rest, taken = rest[:, shortlist], []
    for _ in range(min(count, len(shortlist))):
        worth = _worth(rest, R, lam)
        worth[taken] = -1.0
        taken.append(best := int(worth.argmax()))
        column = rest[:, best]
        size = column @ column + lam
        R = R - torch.outer(column, column @ R / size)
        rest = rest - torch.outer(column, column @ rest / size)
    return shortlist[taken]


def _worth(columns: Tensor, R: Tensor, lam: float) -> Tensor:
    """What each of the columns (r, m) is worth alone: (m,)."""
    return (columns.T @ R).square().sum(dim=1) / (columns.square().sum(dim=0) + lam)
