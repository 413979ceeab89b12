"""What regions decide as a whole: compiled code that follows the decision tree as far as all of a region agrees."""

# pyright: reportCallIssue=false

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from convexsnn.bounds.cells.kernel import Cones, Table
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


@cached
def advance(cones: Cones, before: Open, table: Table, weights: Weights) -> tuple[Open, Standing]:
    """Decide what all of a region agrees on, and what follows from it."""
    B, r = len(before.value), table.form.shape[1]
    entry = np.empty(2 * len(before.entry) + 64, dtype=np.int64)
    entries, bits, value = np.zeros(B + 1, dtype=np.int64), before.bits.copy(), before.value.copy()
    low, high = value.copy(), value.copy()
    choice, waiting = np.full(B, -1), np.zeros(B, dtype=np.int64)
    stack = np.empty(len(table.first) + len(before.entry) + 8, dtype=np.int64)
    at = 0
    for b in range(B):
        size = before.entries[b + 1] - before.entries[b]
        stack[:size] = before.entry[before.entries[b] : before.entries[b + 1]]
        best = -1.0
        while size > 0:
            size -= 1
            now = stack[size]
            balance = 0.0
            if now >= 0:
                balance = _balance(cones, b, table.form, now, r)
                if balance >= 0.0:
                    node = table.node[now]
                    if weights.weight[node] * (balance + TOUCHING) > best:
                        best, choice[b] = weights.weight[node] * (balance + TOUCHING), now
                    first, last = node, node + 1
                else:
                    now = -(2 * now + (balance > -2.0)) - 1  # decided
            if now < 0:
                state, spike = (-now - 1) >> 1, (-now - 1) & 1
                node = table.node[state]
                if balance < 0.0 and spike:
                    bits[b, node >> 3] |= 128 >> (node & 7)
                    value[b] += weights.gain[node]
                first, last = table.first[node], table.first[node + 1]
                if first == last:
                    continue
                start = table.next[state, spike]
                if start >= 0:
                    for k in range(last - first):
                        stack[size] = start + k
                        size += 1
                    continue
                waiting[b] += 1
            for k in range(first, last):
                low[b] -= weights.down[k]
                high[b] += weights.up[k]
            if at == len(entry):
                entry = _doubled(entry)
            entry[at] = now
            at += 1
        entries[b + 1] = at
        low[b] += value[b] - before.value[b]
        high[b] += value[b] - before.value[b]
    return Open(entry[:at].copy(), entries, bits, value), Standing(low, high, choice, waiting)


@njit(nogil=True)
def _balance(cones: Cones, b: int, form: NDArray, state: int, r: int) -> float:
    """-1 where the form is positive on all of a region, -2 where it is negative; else the share of its smaller side."""
    above, below, sure = 0.0, 0.0, True
    for i in range(cones.rays[b], cones.rays[b + 1]):
        total = 0.0
        for j in range(r):
            total += form[state, j] * cones.ray[i, j]
        if abs(total) <= cones.ray[i, r]:
            sure = False
        above, below = max(above, total), max(below, -total)
    if sure and below == 0.0:
        return -1.0
    if sure and above == 0.0:
        return -2.0
    return min(above, below) / (above + below) if above + below > 0.0 else 0.0


@njit(nogil=True)
def _doubled(entry: NDArray) -> NDArray:
    more = np.empty(2 * len(entry), dtype=entry.dtype)
    more[: len(entry)] = entry
    return more
