"""Products with the Hessian D^T h D of 0/1 columns D, for a block of rows: one compiled call.

A call of its own for each factor would make threads wait for one another three times instead of once.
"""

# Numba gives functions of vectors another signature: without the typing context.
# pyright: reportCallIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from convexsnn.bit_products import add_product, add_transposed
from convexsnn.compiling import cached
from convexsnn.lanes import BYTES, load, load_where, muladd, pointer, spread, store, total, where, zeros


@cached
def curved_product(groups: NDArray, X: NDArray, diagonal: NDArray, vector: NDArray, masks: NDArray) -> NDArray:
    """D^T h(D X) of the shape of X, for bytes of `grouped` and X of `in_vectors`.

    h is diag(d) - v v^T within each block of outputs, where d and v are a row's `diagonal` and `vector`. Bits of
    `masks`, shape (blocks, vectors), tell which lanes belong to a block.
    """
    scores = np.zeros((groups.shape[1], X.shape[1]), X.dtype)
    add_product(groups, X, scores)
    _curve(scores, diagonal, vector, masks)
    sums = np.zeros_like(X)
    add_transposed(groups, scores, sums)
    return sums


@njit
def _curve(scores, diagonal, vector, masks):
    """Multiply each row of the scores by the matrix h of the row, in place."""
    lanes, width, vectors = BYTES // scores.itemsize, diagonal.shape[1], masks.shape[1]
    rows, diagonals, coupled = pointer(scores), pointer(diagonal), pointer(vector)
    for i in range(len(scores)):
        for mask in masks:
            shared = zeros(rows)
            for v in range(vectors):
                own = load_where(coupled, i * width + v * lanes, mask[v])
                shared = muladd(own, load(rows, i * vectors + v), shared)
            less = spread(-total(shared))
            for v in range(vectors):
                place, own = i * width + v * lanes, load(rows, i * vectors + v)
                turned = muladd(load_where(diagonals, place, mask[v]), own, zeros(rows))
                turned = muladd(load_where(coupled, place, mask[v]), less, turned)
                store(rows, i * vectors + v, where(mask[v], turned, own))
