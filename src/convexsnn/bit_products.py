"""Products of 0/1 columns with matrices of few columns, by tables of the sums of eight entries.

Let a byte have eight entries of each row of a matrix B of bits. Then a row of B X is a sum of one row of each of many
tables, and each table has 256 rows. Likewise B^T Y is had by adding the rows of Y to the rows of such tables, and by
taking sums of these at the end (Arlazarov, Dinic, Kronrod, Faradzev 1970).
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
from convexsnn.lanes import BYTES, lanes_of, load, plus, pointer, store, zeros
from convexsnn.team import Team

# Bits in a byte, and the rows of a table.
BITS, CODES = 8, 256
# Tables that are used together: each row of a product is then read and written once for both.
TABLES = 2
# Bytes and columns at a time of packed columns: their bytes and products stay in cache.
BLOCK_BYTES, BLOCK_COLUMNS = 128, 2**10
# Columns whose bytes are read before those of the next ones: what is read is then in the fastest cache.
NEAR_COLUMNS = 64
# Bytes times outputs from which another thread saves more time than it takes to start.
THREAD_ENTRIES = 2**22


def grouped(entries: Tensor) -> NDArray[np.uint8]:
    """Bytes of eight columns each, shape (groups, n), an even number of groups, from 0/1 entries (k, n) as uint8."""
    count, n = entries.shape
    found = entries.new_zeros(_groups(count), n)
    for bit in range(BITS):
        some = entries[bit::BITS]
        found[: len(some)] |= some << bit
    return found.numpy()


def sums_for(k: int, C: int, dtype: torch.dtype) -> NDArray:
    """Zeros in whole vectors, for sums of `add_transposed` of shape (k, C) in its first rows and columns."""
    return np.zeros((_groups(k) * BITS, _width(C, dtype)), _numpy(dtype))


def in_vectors(X: Tensor, k: int) -> NDArray:
    """X (k, C) or fewer rows, with zeros to where `sums_for` ends."""
    out = sums_for(k, X.shape[1], X.dtype)
    out[: len(X), : X.shape[1]] = X.numpy()
    return out


def packed_product(packed: Tensor, U: Tensor) -> Tensor:
    """D^T U (P, C), for D of n rows that are packed as in `BitColumns`, and U (n, C) of floats on the CPU.

    Threads share the columns. The result is the same for any number of them.
    """
    count, octets = packed.shape
    wide, bits = in_vectors(U, octets * BITS), packed.numpy()
    out = np.zeros((count, wide.shape[1]), wide.dtype)
    threads = min(torch.get_num_threads(), 1 + out.size * octets // THREAD_ENTRIES)
    size = max(1, min(BLOCK_COLUMNS, -(-count // threads)))

    def work(start: int) -> None:
        _multiply(bits[start : start + size], wide, out[start : start + size])

    Team(threads).each(work, range(0, count, size))
    return torch.from_numpy(out)[:, : U.shape[1]].contiguous()


def packed_combination(packed: Tensor, n: int, used: Tensor, W: Tensor) -> Tensor:
    """D W (n, C) for the columns `used` (m,) of D, packed as in `BitColumns`, and W (m, C) of floats on the CPU.

    Threads share the rows. The result is the same for any number of them.
    """
    octets, bits, chosen, out = packed.shape[1], packed.numpy(), used.numpy(), W.new_empty(n, W.shape[1])
    wide, found = in_vectors(W, len(W))[: len(W)], out.numpy()
    threads = min(torch.get_num_threads(), 1 + wide.size * octets // THREAD_ENTRIES)

    def work(first: int) -> None:
        last = first + BLOCK_BYTES
        _combine(bits[:, first:last], chosen, wide, found[first * BITS : last * BITS])

    Team(threads).each(work, range(0, octets, BLOCK_BYTES))
    return out


def _groups(count: int) -> int:
    """Bytes that hold so many bits: an even number."""
    return -(-count // (TABLES * BITS)) * TABLES


def _width(C: int, dtype: torch.dtype) -> int:
    """So many numbers are whole vectors."""
    lanes = lanes_of(dtype.itemsize)
    return -(-C // lanes) * lanes


def _numpy(dtype: torch.dtype) -> type[np.floating]:
    return np.float32 if dtype == torch.float32 else np.float64


@cached
def _multiply(bits: NDArray, X: NDArray, out: NDArray) -> None:
    """Add to each row of `out` the rows of X whose bits are set in that row of `bits`, in whole vectors."""
    for first in range(0, bits.shape[1], BLOCK_BYTES):
        groups = _transposed(bits[:, first : first + BLOCK_BYTES])
        add_product(groups, X[first * BITS : (first + len(groups)) * BITS], out)


@cached
def _combine(bits: NDArray, used: NDArray, W: NDArray, out: NDArray) -> None:
    """Write to each row of `out` the sum of those rows of W, in whole vectors, whose column has the row's bit."""
    octets = bits.shape[1]
    sums = np.zeros(((octets + octets % TABLES) * BITS, W.shape[1]), W.dtype)
    for first in range(0, len(used), BLOCK_COLUMNS):
        groups = _transposed(bits[used[first : first + BLOCK_COLUMNS]])
        add_transposed(groups, W[first : first + BLOCK_COLUMNS], sums)
    out[:] = sums[: len(out), : out.shape[1]]


@njit
def _transposed(bits):
    """Bytes (groups, m) of m rows of bits, an even number of groups."""
    count, size = bits.shape
    groups = np.zeros((size + size % TABLES, count), np.uint8)
    for begin in range(0, count, NEAR_COLUMNS):
        for byte in range(size):
            for i in range(begin, min(begin + NEAR_COLUMNS, count)):
                groups[byte, i] = bits[i, byte]
    return groups


@cached
def add_product(groups: NDArray, X: NDArray, out: NDArray) -> None:
    """Add D X to `out`, for bytes of `grouped`; X and `out` are in whole vectors, X with a row for each bit of a byte.

    That is, add to each row of `out` the rows of X whose bits its bytes have.
    """
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
def add_transposed(groups: NDArray, Y: NDArray, total: NDArray) -> None:
    """Add D^T Y to `total` of `sums_for`, for bytes of `grouped`; Y is in whole vectors.

    That is, add to each row of `total` the rows of Y whose bytes have its bit.
    """
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
