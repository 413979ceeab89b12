"""From a spike train to the weights that give it with the largest margin: one linear program."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from convexsnn.bounds.decisions import Decisions
from convexsnn.bounds.enumerate import trains_of

Floats = NDArray[np.float64]
# Margins below are taken to be zero: the solver's tolerance on constraints.
SMALLEST_MARGIN = 1e-9


def realise(decisions: Decisions, train: NDArray[np.uint8], needed: NDArray[np.bool_]) -> tuple[Floats, float] | None:
    """Parameters p in [-1, 1]^r that give a spike train, and their margin; None when no weights give it.

    The margin is the smallest |a . p| over the decisions along the train. Where it cannot be positive the train may
    still be had with exact ties, which fire: then the margin is 0 and only the silent decisions are kept away from it.

    Parameters
    ----------
    decisions : Decisions
    train : uint8 array
        Packed, as in `Patterns`.
    needed : bool array of shape (m, levels)
        Which decisions matter: those up to the last step at which a sequence is read.
    """
    forms, bits = [], []
    for level, (form, bit) in enumerate(trains_of(decisions, train)):
        forms.append(form[needed[:, level]])
        bits.append(bit[needed[:, level]])
    A, s = np.concatenate(forms), np.concatenate(bits)
    found = _largest_margin(A, s, decisions.theta, ties=False)
    if found is None or found[1] <= SMALLEST_MARGIN:
        tied = _largest_margin(A, s, decisions.theta, ties=True)
        return (tied[0], 0.0) if tied is not None and tied[1] > SMALLEST_MARGIN else None
    return found


def _largest_margin(A: Floats, s: NDArray[np.bool_], theta: int | None, *, ties: bool) -> tuple[Floats, float] | None:
    """The largest margin over p in the unit box: A p >= margin where s, A p <= -margin where not, theta >= margin."""
    zero = ~A.any(axis=1)
    if bool((zero & ~s).any()):
        return None
    A, s = A[~zero], s[~zero]
    r = A.shape[1]
    sign = np.where(s, -1.0, 1.0)
    margin = np.where(s & ties, 0.0, 1.0)
    rows, room = np.column_stack([A * sign[:, None], margin]), np.zeros(len(A))
    if theta is not None:
        bound = np.zeros((1, r + 1))
        bound[0, [theta, r]] = -1.0, 1.0
        rows, room = np.vstack([rows, bound]), np.append(room, 0.0)
    cost = np.zeros(r + 1)
    cost[-1] = -1.0
    result = linprog(cost, A_ub=rows, b_ub=room, bounds=[(-1.0, 1.0)] * r + [(0.0, 1.0)], method="highs")
    return (result.x[:r], float(result.x[r])) if result.status == 0 else None


def needed_decisions(decisions: Decisions) -> NDArray[np.bool_]:
    """Which decisions of which sequence a row depends on: (m, levels), levels as `trains_of` gives them."""
    T, m = len(decisions.fire), decisions.n_sequences
    until = np.zeros(m, dtype=np.int64)
    np.maximum.at(until, decisions.sequence, decisions.step)
    spikes = np.arange(T) <= until[:, None]
    if not decisions.read:
        return spikes
    read = np.zeros((m, T), dtype=bool)
    read[decisions.sequence, decisions.step] = True
    return np.stack([spikes, read], axis=2).reshape(m, 2 * T)
