"""Products of 0/1 columns with matrices of few columns, by tables of the sums of eight entries.

A byte has the entries of eight columns in a row. So a row of D X is a sum of one row of each of k / 8 tables, and each
table has 256 rows. Likewise D^T Y is had by adding the rows of Y to the rows of such a table, and by taking sums of
these at the end (Arlazarov, Dinic, Kronrod, Faradzev 1970).
"""

# Numba gives functions of vectors another signature: without the typing context.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.compiling import cached
from convexsnn.lanes import load, plus, pointer, store, zeros

# Float32 numbers in a vector, columns in a byte, and the rows of a table.
LANES, BITS, CODES = 16, 8, 256
# Tables that are used together: each row of scores is then read and written once for both.
TABLES = 2


def grouped(entries: Tensor) -> NDArray[np.uint8]:
    """Bytes of eight columns each, shape (groups, n), an even number of groups, from 0/1 entries (k, n) as uint8."""
    count, n = entries.shape
    found = entries.new_zeros(_groups(count), n)
    for bit in range(BITS):
        some = entries[bit::BITS]
        found[: len(some)] |= some << bit
    return found.numpy()


def multiplied(groups: NDArray[np.uint8], X: Tensor) -> Tensor:
    """D X (n, C) of float32 weights X (k, C)."""
    wide = _wide(X, len(groups) * BITS)
    out = np.zeros((groups.shape[1], wide.shape[1]), np.float32)
    _multiply(groups, wide, out)
    return torch.from_numpy(out)[:, : X.shape[1]]


def add_transposed(groups: NDArray[np.uint8], Y: Tensor, total: NDArray[np.float32]) -> None:
    """Add D^T Y, of float32 numbers Y (n, C), to `total` of `empty`."""
    _add_transposed(groups, _wide(Y, len(Y)), total)


def empty(k: int, C: int) -> NDArray[np.float32]:
    """Zeros for sums of `add_transposed` of shape (k, C), which are in its first rows and columns."""
    return np.zeros((_groups(k) * BITS, -(-C // LANES) * LANES), np.float32)


def _groups(count: int) -> int:
    return -(-count // (TABLES * BITS)) * TABLES


def _wide(X: Tensor, count: int) -> NDArray[np.float32]:
    """X (k, C) with zeros up to `count` rows and whole vectors of columns."""
    out = np.zeros((count, -(-X.shape[1] // LANES) * LANES), np.float32)
    out[: len(X), : X.shape[1]] = X.numpy()
    return out


@cached
def _multiply(groups: NDArray, X: NDArray, out: NDArray) -> None:
    vectors = X.shape[1] // LANES
    tables = np.empty((TABLES * CODES, LANES), np.float32)
    table, scores = pointer(tables), pointer(out)
    for v in range(vectors):
        for g in range(0, len(groups), TABLES):
            _fill(table, 0, X, g, v)
            _fill(table, CODES, X, g + 1, v)
            first, second = groups[g], groups[g + 1]
            for i in range(len(first)):
                both = plus(load(table, first[i]), load(table, CODES + second[i]))
                store(scores, i * vectors + v, plus(load(scores, i * vectors + v), both))


@njit
def _fill(table, begin, X, g, v):
    """The table of group g from row `begin` on: row c has the sum of the rows of X whose bits the number c has."""
    weights, vectors = pointer(X), X.shape[1] // LANES
    store(table, begin, zeros(table))
    for bit in range(BITS):
        weight, half = load(weights, (g * BITS + bit) * vectors + v), 1 << bit
        for code in range(half):
            store(table, begin + half + code, plus(load(table, begin + code), weight))


@cached
def _add_transposed(groups: NDArray, Y: NDArray, total: NDArray) -> None:
    vectors = Y.shape[1] // LANES
    tables = np.empty((TABLES * CODES, LANES), np.float32)
    table, rows = pointer(tables), pointer(Y)
    for v in range(vectors):
        for g in range(0, len(groups), TABLES):
            tables[:] = 0.0
            first, second = groups[g], groups[g + 1]
            for i in range(len(first)):
                row, one, other = load(rows, i * vectors + v), first[i], CODES + second[i]
                store(table, one, plus(load(table, one), row))
                store(table, other, plus(load(table, other), row))
            _drain(table, 0, total, g, v)
            _drain(table, CODES, total, g + 1, v)


@njit
def _drain(table, begin, total, g, v):
    """Add the rows of a table to the rows of `total` of the columns whose bits their numbers have."""
    sums, vectors = pointer(total), total.shape[1] // LANES
    for bit in range(BITS - 1, -1, -1):
        place, half = (g * BITS + bit) * vectors + v, 1 << bit
        own = load(sums, place)
        for code in range(half):
            high = load(table, begin + half + code)
            own = plus(own, high)
            store(table, begin + code, plus(load(table, begin + code), high))
        store(sums, place, own)
