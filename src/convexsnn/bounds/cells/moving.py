"""Forms and rays that move with the leak, in compiled code: signs and meeting points that are certain on an interval.

A region is of all leaks of an interval, and its facets meet alike for each of them. Rays and forms are vectors of
polynomials (`polynomials`). A span says which leaks. The leak is base +- x, and x lies in [low, high], or in (0, high]
for low = 0. Two more numbers of the span are an interval on which orientation is told. It is a point in the region. For
a single leak that is no float, it is an interval around it.
"""

# Numbers of arrays are numbers in compiled code, which has other signatures.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from convexsnn.bounds.cells.cones import ONE, Cones, FormTable
from convexsnn.bounds.cells.polynomials import cofactors, enter_values, multiplied, sign_on
from convexsnn.compiling import cached

# The error of a ray of which nothing is known: its signs are left to integers.
UNKNOWN = 1e300
# Values that are smaller than others by this factor may be those of either side.
NEARLY = 1e-9


@njit(nogil=True)
def lengths(cones: Cones, table: FormTable, r: int) -> tuple[int, int]:
    """Coefficients of each polynomial of a form, and of a ray."""
    return table.form.shape[1] // r, (cones.ray.shape[1] - 1) // r


@njit(nogil=True)
def _sign(
    table: FormTable, state: int, ray: NDArray, low: float, high: float, r: int, p: NDArray, room: NDArray
) -> int:
    """The sign of a state's form on a ray, on an interval; `p` and `room` have space for their product."""
    error = multiplied(table.form[state], table.error[state], ray, r, p)
    return sign_on(p, len(p) - 1, error, low, high, room)


@cached
def moving_signs(cones: Cones, table: FormTable, span: NDArray, state: NDArray, r: int) -> NDArray:
    """The sign of a form on the rays of each region, on all of its span; see `polynomials.sign_on`."""
    signs = np.empty(len(cones.ray), dtype=np.int8)
    K, N = lengths(cones, table, r)
    p, room = np.empty(K + N), np.empty(K + N)
    for b in range(len(state)):
        for i in range(cones.rays[b], cones.rays[b + 1]):
            signs[i] = _sign(table, state[b], cones.ray[i], span[b, 0], span[b, 1], r, p, room)
    return signs


@cached
def moving_products(cones: Cones, table: FormTable, state: NDArray, rays: NDArray, r: int) -> NDArray:
    """The polynomials of forms on rays (n,), and the error of each: (n, coefficients + 1)."""
    K, N = lengths(cones, table, r)
    out = np.empty((len(rays), K + N))
    for k in range(len(rays)):
        out[k, K + N - 1] = multiplied(table.form[state[k]], table.error[state[k]], cones.ray[rays[k]], r, out[k])
    return out


@njit(nogil=True)
def meet_moving(
    table: FormTable, cones: Cones, b: int, both: np.uint64, state: int, span: NDArray, ray: NDArray, r: int
) -> None:
    """Enter the ray in which facets `both` and the plane of a state meet; of error `UNKNOWN` if floats do not tell."""
    first, n = cones.facets[b], cones.facets[b + 1] - cones.facets[b]
    lines, errors, count = np.empty((r - 1, table.form.shape[1])), np.empty(r - 1), 1
    lines[0], errors[0] = table.form[state], table.error[state]
    for k in range(n):
        if both & (ONE << np.uint64(k)):
            if count < r - 1:
                at = cones.facet[first + k] >> 1
                lines[count], errors[count] = table.form[at], table.error[at]
            count += 1
    ray[:] = 0.0
    ray[-1] = UNKNOWN
    # All facets through two rays of a cone of three parameters are one; else, where there are more, they may depend.
    if count < r - 1 or (count > r - 1 and r > 3):
        return
    ray[-1] = cofactors(lines, errors, r, ray)
    side = _side(table, cones, b, both, span, ray, r)
    if side == 0:
        ray[:] = 0.0
        ray[-1] = UNKNOWN
        return
    scale = 1.0
    if ray[-1] > 0.0:  # a power of two, so that nothing is rounded by it
        scale = 2.0 ** -np.ceil(np.log2(np.abs(ray[:-1]).max()))
        ray[-1] *= scale
    ray[:-1] *= side * scale
    _shorten(ray, r)


@njit(nogil=True)
def _side(table: FormTable, cones: Cones, b: int, both: np.uint64, span: NDArray, ray: NDArray, r: int) -> int:
    """The end of its line that a ray is, as facets say that do not meet there: 1, -1, or 0 where they do not say."""
    K, N = lengths(cones, table, r)
    p, room = np.empty(K + N), np.empty(K + N)
    for k in range(cones.facets[b + 1] - cones.facets[b]):
        if not both & (ONE << np.uint64(k)):
            code = cones.facet[cones.facets[b] + k]
            sign = _sign(table, code >> 1, ray, span[2], span[3], r, p, room)
            if abs(sign) == 1:
                return -sign if code & 1 else sign
    return 0


@njit(nogil=True)
def _shorten(ray: NDArray, r: int) -> None:
    """Divide a ray of integers by the powers of x that divide all of it."""
    while ray[-1] == 0.0:
        for j in range(r):
            if ray[j] != 0.0:
                return
        ray[: -1 - r] = ray[r:-1].copy()
        ray[-1 - r : -1] = 0.0


@njit(nogil=True)
def values_at(cones: Cones, b: int, span: NDArray, r: int) -> NDArray:
    """About where the rays of a region are for one leak, each over the sum of its sizes: (rays, r)."""
    first, last = cones.rays[b], cones.rays[b + 1]
    values, x = np.zeros((last - first, r)), 0.5 * (span[2] + span[3])
    for i in range(last - first):
        enter_values(cones.ray[first + i, :-1], r, x, values[i])
        size = np.abs(values[i]).sum()
        if size > 0.0:
            values[i] /= size
    return values


@njit(nogil=True)
def moving_balance(cones: Cones, b: int, table: FormTable, state: int, span: NDArray, values: NDArray, r: int) -> float:
    """-1 where the form is positive on all of a region, -2 where it is negative; else the share of its smaller side."""
    form, above, below = np.empty(r), 0.0, 0.0
    enter_values(table.form[state], r, 0.5 * (span[2] + span[3]), form)
    for i in range(len(values)):
        total = 0.0
        for j in range(r):
            total += form[j] * values[i, j]
        above, below = max(above, total), max(below, -total)
    if min(above, below) <= NEARLY * (above + below):
        wanted, sure = -1 if below > above else 1, True
        K, N = lengths(cones, table, r)
        p, room = np.empty(K + N), np.empty(K + N)
        for i in range(cones.rays[b], cones.rays[b + 1]):
            if _sign(table, state, cones.ray[i], span[0], span[1], r, p, room) != wanted:
                sure = False
                break
        if sure:
            return -1.0 if wanted > 0 else -2.0
    return min(above, below) / (above + below) if above + below > 0.0 else 0.0
