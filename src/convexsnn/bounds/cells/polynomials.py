"""Polynomials of the leak in compiled code: forms, rays and their products, with signs on an interval that are certain.

A vector of polynomials is one row of float64: the coefficients of x^0 of all entries, those of x^1, and so on. Each row
comes with a bound of its error: the sum of the sizes of what all of its coefficients are off. A row of error 0 holds
integers.
"""

# Numbers of arrays are numbers in compiled code, which has other signatures.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Integers below are floats, and so are their sums.
WHOLE = 2.0**53
# Half a unit in the last place of 1, and a little.
ROUNDING = 1.01 * 2.0**-53
# What a sign on an interval is where it is not known: float64 does not tell, or there may be a root.
DOUBTFUL, CHANGING = 2, 3


@njit(nogil=True)
def multiplied(form: NDArray, form_error: float, ray: NDArray, r: int, out: NDArray) -> float:
    """Enter the polynomial form @ ray; the error of it."""
    K, N = form.shape[0] // r, (ray.shape[0] - 1) // r
    out[: K + N - 1] = 0.0
    size, form_size, ray_size = 0.0, 0.0, 0.0
    for k in range(K):
        for j in range(r):
            f = form[k * r + j]
            if f != 0.0:
                form_size += abs(f)
                for n in range(N):
                    term = f * ray[n * r + j]
                    out[k + n] += term
                    size += abs(term)
    ray_error = ray[N * r]
    if form_error == 0.0 and ray_error == 0.0 and size < WHOLE:
        return 0.0
    for n in range(N * r):
        ray_size += abs(ray[n])
    own = (form_size + form_error) * ray_error + form_error * ray_size
    return 1.01 * own + (K * r + 2) * ROUNDING * size


@njit(nogil=True)
def sign_on(p: NDArray, n: int, error: float, a: float, b: float, room: NDArray) -> int:
    """The sign on [a, b], or on (0, b] for a = 0, of a polynomial of n coefficients: -1, 0 everywhere, 1, 2 or 3."""
    k = 0
    if error == 0.0:  # x^k > 0 changes no sign
        while k < n and p[k] == 0.0:
            k += 1
        if k == n:
            return 0
        while p[n - 1] == 0.0:
            n -= 1
    m, size, power = n - k, 0.0, 1.0
    for j in range(m):
        room[j] = p[k + j]
        size += abs(p[k + j]) * power
        power *= b
    for i in range(m - 1):  # x = a + (b - a) u
        for j in range(m - 2, i - 1, -1):
            room[j] += a * room[j + 1]
    power, choose = 1.0, 1.0
    for j in range(m):  # and the coefficients of Bernstein in u
        room[j] *= power / choose
        power *= b - a
        choose = choose * (m - 1 - j) / (j + 1)
    for i in range(1, m):
        for j in range(m - 1, i - 1, -1):
            room[j] += room[j - 1]
    doubt = 1.01 * error + (8 * m + 8) * ROUNDING * size
    low, high = room[0], room[0]
    for j in range(1, m):
        low, high = min(low, room[j]), max(high, room[j])
    if low > doubt:
        return 1
    if high < -doubt:
        return -1
    return DOUBTFUL if error > 0.0 and (low >= -doubt or high <= doubt) else CHANGING


@njit(nogil=True)
def enter_values(row: NDArray, r: int, x: float, out: NDArray) -> None:
    """Enter the values (r,) at x of a row."""
    for j in range(r):
        total = 0.0
        for k in range(row.shape[0] // r - 1, -1, -1):
            total = total * x + row[k * r + j]
        out[j] = total


@njit(nogil=True)
def cofactors(lines: NDArray, errors: NDArray, r: int, out: NDArray) -> float:
    """Enter the vector whose product with a form is its determinant with r - 1 rows (r - 1, K r); the error of it."""
    K, full = lines.shape[1] // r, (1 << r) - 1
    N = (r - 1) * (K - 1) + 1
    minor = np.zeros((full + 1, N))
    size, error = np.zeros(full + 1), np.zeros(full + 1)
    minor[0, 0], size[0] = 1.0, 1.0
    for columns in range(1, full):
        row = -1
        for j in range(r):
            row += (columns >> j) & 1
        sign = 1.0 if row % 2 == 0 else -1.0
        for j in range(r):
            if (columns >> j) & 1:
                rest, entry = columns ^ (1 << j), 0.0
                for k in range(K):
                    f = sign * lines[row, k * r + j]
                    entry += abs(f)
                    if f != 0.0:
                        for n in range(row * (K - 1) + 1):
                            minor[columns, k + n] += f * minor[rest, n]
                size[columns] += entry * size[rest]
                error[columns] += (entry + errors[row]) * error[rest] + errors[row] * size[rest]
                sign = -sign
        if error[columns] > 0.0 or size[columns] >= WHOLE:
            error[columns] = 1.01 * error[columns] + (K * r + 2) * ROUNDING * size[columns]
    total = 0.0
    for j in range(r):
        rest = full ^ (1 << j)
        total += error[rest]
        for n in range(N):
            out[n * r + j] = minor[rest, n] * (1.0 if (r - 1 + j) % 2 == 0 else -1.0)
    return total
