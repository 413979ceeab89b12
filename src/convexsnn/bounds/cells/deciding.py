"""What regions decide as a whole: compiled code that follows the decision tree as far as all of a region agrees."""

# Numbers of arrays are numbers in compiled code, which has other signatures.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from convexsnn.bounds.cells.cones import Cones, FormTable
from convexsnn.bounds.cells.moving import moving_balance, values_at
from convexsnn.compiling import cached

# What a decision counts, at which the region has no ray on one side for certain, against one that halves it.
TOUCHING = 1e-3


class Open(NamedTuple):
    """What a batch of B regions has decided, and what is open.

    Attributes
    ----------
    entry : int64 array of shape (E,)
        A state whose decision is open, or -(2 * state + spike) - 1 where it is decided and what follows is not made.
    entries : int64 array of shape (B + 1,)
        The entries of region b are entries[b] .. entries[b + 1] - 1.
    bits : uint8 array of shape (B, ceil(N / 8))
        Decisions so far, packed by `numpy.packbits`; 0 where open.
    value : float64 array of shape (B, C)
        d^T U of what is decided.
    """

    entry: NDArray
    entries: NDArray
    bits: NDArray
    value: NDArray


class Weights(NamedTuple):
    """What hangs on each node.

    Attributes
    ----------
    gain : float64 array of shape (N, C)
        The sum of U over the rows that read it.
    up, down : float64 arrays of shape (N, C)
        The sums of positive and of negative gains (as positive numbers) of the node and all below it.
    weight : float64 array of shape (N,)
        How much depends on the node, for the choice of what is decided next.
    """

    gain: NDArray
    up: NDArray
    down: NDArray
    weight: NDArray


class Standing(NamedTuple):
    """How regions stand: what no pattern of them exceeds, and where to cut them.

    Attributes
    ----------
    low, high : float64 arrays of shape (B, C)
        d^T U lies between.
    choice : int64 array of shape (B,)
        The open state to decide next; -1 where none is.
    waiting : int64 array of shape (B,)
        Entries for which states must be made first.
    """

    low: NDArray
    high: NDArray
    choice: NDArray
    waiting: NDArray


def decide_further(
    cones: Cones, before: Open, table: FormTable, weights: Weights, span: NDArray | None = None, r: int = 0
) -> tuple[Open, Standing]:
    """Decide what all of a region agrees on, and what follows from it; `span` and `r` as in `cut_cones`."""
    B, room = len(before.value), 2 * len(before.entry) + 64
    while True:
        bits, value = before.bits.copy(), before.value.copy()
        after = Open(np.empty(room, dtype=np.int64), np.zeros(B + 1, dtype=np.int64), bits, value)
        standing = Standing(np.zeros_like(value), np.zeros_like(value), np.full(B, -1), np.zeros(B, dtype=np.int64))
        if _decide_all(cones, before, after, standing, table, weights, span, r):
            after = after._replace(entry=after.entry[: after.entries[-1]].copy())
            return after, standing._replace(low=value - standing.low, high=value + standing.high)
        room *= 2


@cached
def _decide_all(
    cones: Cones,
    before: Open,
    after: Open,
    standing: Standing,
    table: FormTable,
    weights: Weights,
    span: NDArray | None,
    r: int,
) -> bool:
    """Decide all regions; False where the arrays are too small for what stays open."""
    stack = np.empty(len(table.first) + len(before.entry) + 8, dtype=np.int64)
    at = 0
    for b in range(len(before.value)):
        size, best = 0, -1.0
        values = np.empty((0, 0)) if span is None else values_at(cones, b, span[b], r)
        for k in range(before.entries[b], before.entries[b + 1]):
            stack[size] = before.entry[k]
            size += 1
        while size > 0:
            size -= 1
            now, node = stack[size], -1
            if now >= 0:
                node = table.node[now]
                if span is None:
                    balance = _balance(cones, b, table.form, now)
                else:
                    balance = moving_balance(cones, b, table, now, span[b], values, r)
                if balance >= 0.0:
                    score = weights.weight[node] * (balance + TOUCHING)
                    if score > best:
                        best, standing.choice[b] = score, now
                    _leave_open(standing, b, weights, node, node + 1)
                else:
                    fires = balance > -2.0
                    if fires:
                        _fire(after, b, node, weights)
                    now = -(2 * now + fires) - 1
            if now < 0:
                node = table.node[(-now - 1) >> 1]
                first, last = table.first[node], table.first[node + 1]
                start = table.next[(-now - 1) >> 1, (-now - 1) & 1]
                if first == last or start >= 0:
                    for k in range(last - first):
                        stack[size] = start + k
                        size += 1
                    continue
                standing.waiting[b] += 1
                _leave_open(standing, b, weights, first, last)
            if at == len(after.entry):
                return False
            after.entry[at] = now
            at += 1
        after.entries[b + 1] = at
    return True


@njit(nogil=True)
def _fire(after: Open, b: int, node: int, weights: Weights) -> None:
    after.bits[b, node >> 3] |= 128 >> (node & 7)
    for c in range(after.value.shape[1]):
        after.value[b, c] += weights.gain[node, c]


@njit(nogil=True)
def _leave_open(standing: Standing, b: int, weights: Weights, first: int, last: int) -> None:
    """Add what nodes and all below them can take away or give."""
    for k in range(first, last):
        for c in range(standing.low.shape[1]):
            standing.low[b, c] += weights.down[k, c]
            standing.high[b, c] += weights.up[k, c]


@njit(nogil=True)
def _balance(cones: Cones, b: int, form: NDArray, state: int) -> float:
    """-1 where the form is positive on all of a region, -2 where it is negative; else the share of its smaller side."""
    above, below, sure = 0.0, 0.0, True
    for i in range(cones.rays[b], cones.rays[b + 1]):
        total = 0.0
        for j in range(form.shape[1]):
            total += form[state, j] * cones.ray[i, j]
        if abs(total) <= cones.ray[i, form.shape[1]]:
            sure = False
        above, below = max(above, total), max(below, -total)
    if sure and below == 0.0:
        return -1.0
    if sure and above == 0.0:
        return -2.0
    return min(above, below) / (above + below) if above + below > 0.0 else 0.0
