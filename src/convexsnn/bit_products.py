"""Products of 0/1 columns with matrices of few columns, by tables of the sums of eight entries.

Let a byte have eight entries of each row of a matrix B of bits. Then a row of B X is a sum of one row of each of many
tables, and each table has 256 rows. Likewise B^T Y is had by adding the rows of Y to the rows of such tables, and by
taking sums of these at the end (Arlazarov, Dinic, Kronrod, Faradzev 1970).
"""

# Numba gives functions of vectors another signature: without the typing context.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.compiling import cached
from convexsnn.lanes import BYTES, lanes_of, load, plus, pointer, store, zeros

# Bits in a byte, and the rows of a table.
BITS, CODES = 8, 256
# Tables that are used together: each row of a product is then read and written once for both.
TABLES = 2
# Bytes and columns at a time in `packed_product`: their bytes and products stay in cache.
BLOCK_BYTES, BLOCK_COLUMNS = 128, 2**10


def grouped(entries: Tensor) -> NDArray[np.uint8]:
    """Bytes of eight columns each, shape (groups, n), an even number of groups, from 0/1 entries (k, n) as uint8."""
    count, n = entries.shape
    found = entries.new_zeros(_groups(count), n)
    for bit in range(BITS):
        some = entries[bit::BITS]
        found[: len(some)] |= some << bit
    return found.numpy()


def grouped_product(groups: NDArray[np.uint8], X: Tensor) -> Tensor:
    """D X (n, C) of weights X (k, C), for bytes of `grouped`."""
    wide = _wide(X, len(groups) * BITS)
    out = np.zeros((groups.shape[1], wide.shape[1]), wide.dtype)
    _multiply(groups, wide, out)
    return torch.from_numpy(out)[:, : X.shape[1]]


def add_transposed(groups: NDArray[np.uint8], Y: Tensor, total: NDArray) -> None:
    """Add D^T Y, of numbers Y (n, C), to `total` of `empty`, for bytes of `grouped`."""
    _add_transposed(groups, _wide(Y, len(Y)), total)


def empty(k: int, C: int, dtype: torch.dtype) -> NDArray:
    """Zeros for sums of `add_transposed` of shape (k, C), which are in its first rows and columns."""
    return np.zeros((_groups(k) * BITS, _width(C, dtype)), _numpy(dtype))


def first_sums(total: NDArray, k: int, C: int) -> Tensor:
    """The sums in `total`, of shape (k, C)."""
    return torch.from_numpy(total)[:k, :C]


def packed_product(packed: Tensor, U: Tensor) -> Tensor:
    """D^T U (P, C), for D of n rows that are packed as in `BitColumns`, and U (n, C) of floats on the CPU.

    Threads share the columns. The result is the same for any number of them.
    """
    count, octets = packed.shape
    wide, bits = _wide(U, _groups(octets * BITS) * BITS), packed.numpy()
    out = np.zeros((count, wide.shape[1]), wide.dtype)

    def work(start: int) -> None:
        columns = slice(start, start + BLOCK_COLUMNS)
        for first in range(0, octets, BLOCK_BYTES):
            some = bits[columns, first : first + BLOCK_BYTES]
            groups = np.zeros((_groups(some.shape[1] * BITS), len(some)), np.uint8)
            groups[: some.shape[1]] = some.T
            _multiply(groups, wide[first * BITS : (first + len(groups)) * BITS], out[columns])

    starts, threads = range(0, count, BLOCK_COLUMNS), torch.get_num_threads()
    if threads == 1 or len(starts) == 1:
        for start in starts:
            work(start)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, starts))
    return torch.from_numpy(out)[:, : U.shape[1]].contiguous()


def _groups(count: int) -> int:
    """Bytes that hold so many bits: an even number."""
    return -(-count // (TABLES * BITS)) * TABLES


def _wide(X: Tensor, count: int) -> NDArray:
    """X (k, C) with zeros up to `count` rows and whole vectors of columns."""
    out = np.zeros((count, _width(X.shape[1], X.dtype)), _numpy(X.dtype))
    out[: len(X), : X.shape[1]] = X.numpy()
    return out


def _width(C: int, dtype: torch.dtype) -> int:
    """So many numbers are whole vectors."""
    lanes = lanes_of(dtype.itemsize)
    return -(-C // lanes) * lanes


def _numpy(dtype: torch.dtype) -> type[np.floating]:
    return np.float32 if dtype == torch.float32 else np.float64


@cached
def _multiply(groups: NDArray, X: NDArray, out: NDArray) -> None:
    """Add to each row of `out` the rows of X whose bits its bytes have; all in whole vectors."""
    lanes = BYTES // X.itemsize
    vectors = X.shape[1] // lanes
    tables = np.empty((TABLES * CODES, lanes), X.dtype)
    table, rows = pointer(tables), pointer(out)
    for v in range(vectors):
        for g in range(0, len(groups), TABLES):
            _fill(table, 0, X, g, v, vectors)
            _fill(table, CODES, X, g + 1, v, vectors)
            first, second = groups[g], groups[g + 1]
            for i in range(len(first)):
                both = plus(load(table, first[i]), load(table, CODES + second[i]))
                store(rows, i * vectors + v, plus(load(rows, i * vectors + v), both))


@njit
def _fill(table, begin, X, g, v, vectors):
    """The table of group g from row `begin` on: row c has the sum of the rows of X whose bits the number c has."""
    weights = pointer(X)
    store(table, begin, zeros(table))
    for bit in range(BITS):
        weight, half = load(weights, (g * BITS + bit) * vectors + v), 1 << bit
        for code in range(half):
            store(table, begin + half + code, plus(load(table, begin + code), weight))


@cached
def _add_transposed(groups: NDArray, Y: NDArray, total: NDArray) -> None:
    """Add to each row of `total` the rows of Y whose bytes have its bit; all in whole vectors."""
    lanes = BYTES // Y.itemsize
    vectors = Y.shape[1] // lanes
    tables = np.empty((TABLES * CODES, lanes), Y.dtype)
    table, rows = pointer(tables), pointer(Y)
    for v in range(vectors):
        for g in range(0, len(groups), TABLES):
            tables[:] = 0.0
            first, second = groups[g], groups[g + 1]
            for i in range(len(first)):
                row, one, other = load(rows, i * vectors + v), first[i], CODES + second[i]
                store(table, one, plus(load(table, one), row))
                store(table, other, plus(load(table, other), row))
            _drain(table, 0, total, g, v, vectors)
            _drain(table, CODES, total, g + 1, v, vectors)


@njit
def _drain(table, begin, total, g, v, vectors):
    """Add the rows of a table to the rows of `total` of the columns whose bits their numbers have."""
    sums = pointer(total)
    for bit in range(BITS - 1, -1, -1):
        place, half = (g * BITS + bit) * vectors + v, 1 << bit
        own = load(sums, place)
        for code in range(half):
            high = load(table, begin + half + code)
            own = plus(own, high)
            store(table, begin + code, plus(load(table, begin + code), high))
        store(sums, place, own)
