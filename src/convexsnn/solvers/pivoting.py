"""Dense quadratic programs with an l1 penalty, by block principal pivoting."""

from __future__ import annotations

import torch
from torch import Tensor

# Exchanges of all wrong signs that may leave as many of them wrong before single exchanges take over.
ATTEMPTS = 3
# Exchanges of either kind. Where they do not suffice the system is near singular, and a larger diagonal helps.
LIMIT = 40
# A gradient may exceed the penalty by this part before its sign counts as wrong.
SLACK = 1e-11


def minimise(H: Tensor, b: Tensor, penalty: float, signs: Tensor) -> Tensor | None:
    """argmin_x x^T H x / 2 - b^T x + penalty |x|_1, or None where H is not definite enough to find it.

    Given the signs of the optimum, zeros included, its other entries solve a linear system. Signs are guessed, and those
    are exchanged that the solution of the system contradicts: an entry of the wrong sign becomes zero, a zero with too
    large a gradient gets the sign that descends.

    Parameters
    ----------
    H : float64 tensor of shape (k, k), symmetric
    b : float64 tensor of shape (k,)
    signs : float64 tensor of shape (k,)
        The first guess: 1, -1 or 0. The closer it is, the fewer systems are solved.

    References
    ----------
    J. Kim, H. Park, Fast active-set-type algorithms for L1-regularized linear regression, AISTATS 2010.
    """
    fewest, attempts = len(b) + 1, ATTEMPTS
    for _ in range(LIMIT):
        active = torch.nonzero(signs).flatten()
        part = H[:, active]
        factor, info = torch.linalg.cholesky_ex(part[active])
        if int(info):
            return None
        values = torch.cholesky_solve((b[active] - penalty * signs[active]).unsqueeze(1), factor)
        x = torch.zeros_like(b).index_copy_(0, active, values[:, 0])
        gradient = (part @ values)[:, 0] - b
        wrong = (x * signs < 0.0) | ((signs == 0.0) & (gradient.abs() > penalty * (1.0 + SLACK)))
        count = int(wrong.sum())
        if not count:
            return x
        if count < fewest:
            fewest, attempts = count, ATTEMPTS
        elif attempts:
            attempts -= 1
        else:
            wrong = torch.zeros_like(wrong).index_fill_(0, torch.nonzero(wrong)[-1], True)
        signs = torch.where(wrong, torch.where(signs == 0.0, -gradient.sign(), 0.0), signs)
    return None
