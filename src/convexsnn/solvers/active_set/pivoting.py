"""Dense quadratic programs with an l1 penalty, solved exactly by exchanging signs."""

from __future__ import annotations

import torch
from torch import Tensor

# Exchanges of all wrong signs, and how many of them may leave as many signs wrong, before one is exchanged at a time.
EXCHANGES, ATTEMPTS = 40, 5
# Single exchanges: so many for each entry.
SINGLE = 4
# A gradient may exceed the penalty by this part before its sign counts as wrong.
SLACK = 1e-11


def minimise_quadratic(H: Tensor, b: Tensor, penalty: float, start: Tensor) -> Tensor | None:
    """argmin_x x^T H x / 2 - b^T x + penalty |x|_1, or None where H is not definite enough to find it.

    Given the signs of the optimum, zeros included, its other entries solve a linear system. First all signs are
    exchanged that the solution of the system contradicts, which takes few systems but may go in circles. Then entries
    come and go one at a time, and the objective never rises.

    Parameters
    ----------
    H : float64 tensor of shape (k, k), symmetric
    b, start : float64 tensors of shape (k,)
        The closer `start` is to the solution, the fewer systems are solved.

    References
    ----------
    J. Kim, H. Park, Fast active-set-type algorithms for L1-regularized linear regression, AISTATS 2010; H. Lee,
    A. Battle, R. Raina, A. Ng, Efficient sparse coding algorithms, NeurIPS 2006, for the single exchanges.
    """
    try:
        return _exchange_blocks(H, b, penalty, start) if len(b) else start
    except _GoesInCirclesError:
        return _exchange_singly(H, b, penalty, start)


class _GoesInCirclesError(Exception):
    """Exchanges of all wrong signs do not make fewer signs wrong."""


def _exchange_blocks(H: Tensor, b: Tensor, penalty: float, start: Tensor) -> Tensor | None:
    signs = _entering(H @ start - b, start.sign(), penalty)
    fewest, attempts = len(b) + 1, ATTEMPTS
    for _ in range(EXCHANGES):
        active = torch.nonzero(signs).flatten()
        x = _on_face(H, b, penalty, signs, active)
        if x is None:
            return None
        wanted = _entering(
            H[:, active] @ x[active] - b, torch.where(x * signs < 0.0, 0.0, signs), penalty, signs == 0.0
        )
        wrong = int((wanted != signs).sum())
        if not wrong:
            return x
        attempts = ATTEMPTS if wrong < fewest else attempts - 1
        fewest, signs = min(fewest, wrong), wanted
        if not attempts:
            break
    raise _GoesInCirclesError


def _exchange_singly(H: Tensor, b: Tensor, penalty: float, start: Tensor) -> Tensor | None:
    x, signs = start.clone(), start.sign()
    for _ in range(SINGLE * len(b) + EXCHANGES):
        active = torch.nonzero(signs).flatten()
        face = _on_face(H, b, penalty, signs, active)
        if face is None:
            return None
        crossing = face * signs < 0.0
        if bool(crossing.any()):
            # As far as the first entry that would change its sign; that one becomes zero.
            share = torch.where(crossing, x / (x - face), torch.inf)
            first = int(share.argmin())
            x = x + share[first] * (face - x)
            x[first] = signs[first] = 0.0
            continue
        x = face
        gradient = H[:, active] @ x[active] - b
        excess = torch.where(signs == 0.0, gradient.abs(), 0.0)
        largest = int(excess.argmax())
        if float(excess[largest]) <= penalty * (1.0 + SLACK):
            return x
        signs[largest] = -gradient[largest].sign()
    return None


def _entering(gradient: Tensor, signs: Tensor, penalty: float, zero: Tensor | None = None) -> Tensor:
    """The signs, with zeros (those of `zero`, if given) that have too large a gradient replaced by what descends."""
    enters = (signs == 0.0 if zero is None else zero) & (gradient.abs() > penalty * (1.0 + SLACK))
    return torch.where(enters, -gradient.sign(), signs)


def _on_face(H: Tensor, b: Tensor, penalty: float, signs: Tensor, active: Tensor) -> Tensor | None:
    """The minimum over x that are zero outside `active`, with the penalty linear as for these signs."""
    factor, info = torch.linalg.cholesky_ex(H[active][:, active])
    if int(info):
        return None
    values = torch.cholesky_solve((b[active] - penalty * signs[active]).unsqueeze(1), factor)
    return torch.zeros_like(b).index_copy_(0, active, values[:, 0])
