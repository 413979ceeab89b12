"""Cells as cones, cut in compiled code: the double description method on batches, with signs that are certain.

A region is a cone of parameters in which some decisions are taken already. It is kept as its rays, and its facets:
forms that are >= 0 on it (where the neuron fires) or < 0 (where it does not). The closure of the region is spanned by
its rays. The region itself has every face of the closure on which no strict form is 0.

References
----------
T. Motzkin, H. Raiffa, G. Thompson, R. Thrall 1953; K. Fukuda and A. Prodon, Double description method revisited, 1996.
"""

# Numbers of arrays are numbers in compiled code, which has other signatures.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from convexsnn.bounds.cells.cones import NONE, ONE, Cones, FormTable
from convexsnn.bounds.cells.moving import meet_moving
from convexsnn.compiling import cached

@njit(nogil=True)
def doubt_of(r: int) -> float:
    """How far a determinant of r forms in float64 can be off; see `patterns.sign_vectors.Planes.doubt`."""
    return r * (r + 3) * 2.0**-52


@cached
def signs_of(cones: Cones, form: NDArray, state: NDArray) -> NDArray:
    """The sign of a form on the rays of each region, by the number of its state; 2 where float64 does not tell."""
    signs = np.empty(len(cones.ray), dtype=np.int8)
    r = form.shape[1]
    for b in range(len(state)):
        for i in range(cones.rays[b], cones.rays[b + 1]):
            total = 0.0
            for j in range(r):
                total += form[state[b], j] * cones.ray[i, j]
            doubt = cones.ray[i, r]
            signs[i] = 1 if total > doubt else -1 if total < -doubt else 2
    return signs


class CutCones(NamedTuple):
    """Room for the parts of regions that are cut.

    Attributes
    ----------
    cones : Cones
    origin : int64 array of shape (2 * B,)
        The region that each part is of.
    fires : bool array of shape (2 * B,)
        Whether the form is >= 0 on it.
    """

    cones: Cones
    origin: NDArray
    fires: NDArray


def cut_cones(
    cones: Cones, table: FormTable, state: NDArray, signs: NDArray, span: NDArray | None = None, r: int = 0
) -> CutCones:
    """Cut each region by the form of a state, whose signs on all rays are given.

    Where forms of r entries move with the leak, `span` has the interval of each region (`moving`).
    """
    B, width, starts = len(state), cones.ray.shape[1], cones.rays[:-1]
    above, below = (np.add.reduceat(signs == sign, starts, dtype=np.int64) for sign in (1, -1))
    room = 2 * int((np.diff(cones.rays) + above * below).sum())
    rays, facets = np.zeros(2 * B + 1, dtype=np.int64), np.zeros(2 * B + 1, dtype=np.int64)
    facet = np.empty(2 * (len(cones.facet) + B), dtype=np.int64)
    out = Cones(np.empty((room, width)), np.empty(room, dtype=np.uint64), rays, facet, facets)
    origin, fires = np.empty(2 * B, dtype=np.int64), np.empty(2 * B, dtype=bool)
    parts = CutCones(out, origin, fires)
    n = _cut_all(cones, table, state, signs, np.stack([above, below], axis=1), parts, span, r)
    kept = Cones(out.ray[: rays[n]], out.zeros[: rays[n]], rays[: n + 1], facet[: facets[n]], facets[: n + 1])
    return CutCones(kept, origin[:n], fires[:n])


@cached
def _cut_all(
    cones: Cones,
    table: FormTable,
    state: NDArray,
    signs: NDArray,
    counts: NDArray,
    out: CutCones,
    span: NDArray | None,
    r: int,
) -> int:
    """Enter the parts of all regions, of which `counts` (B, 2) rays are on either side; how many parts there are."""
    n = 0
    for b in range(len(state)):
        above, below, excluded = counts[b, 0], counts[b, 1], _is_excluded(cones, b, signs)
        crossing = above > 0 and below > 0
        for fires in (True, False):
            if (above == 0 and below > 0 and excluded) if fires else below == 0:
                continue
            new = -1
            if crossing or not (fires or excluded):
                new = 2 * state[b] + (not fires)
            out.cones.rays[n + 1] = out.cones.rays[n]
            # Where the form crosses nothing: all of the region, or the face on which it is 0.
            every = not crossing and (not fires or below == 0)
            _keep_rays(
                cones, b, signs, -2 if every else 1 if fires else -1, new >= 0, out.cones.rays[n + 1 :], out.cones
            )
            if crossing:
                start = out.cones.rays[n + 1]
                _add_between(cones, b, signs, out.cones.rays[n + 1 :], out.cones)
                bit = ONE << np.uint64(cones.facets[b + 1] - cones.facets[b])
                for k in range(start, out.cones.rays[n + 1]):
                    both = out.cones.zeros[k] & ~bit
                    if span is None:
                        _meet(table.form, cones, b, both, state[b], out.cones.ray, k)
                    else:
                        meet_moving(table, cones, b, both, state[b], span[b], out.cones.ray[k], r)
            _keep_facets(cones, b, new, n, out.cones)
            out.origin[n], out.fires[n] = b, fires
            n += 1
    return n


@njit(nogil=True)
def _keep_rays(cones: Cones, b: int, signs: NDArray, side: int, new: bool, at: NDArray, out: Cones) -> None:
    """Enter the rays of a region on which the form is 0 or on a side, or all of them for side -2, from at[0] on."""
    bit = ONE << np.uint64(cones.facets[b + 1] - cones.facets[b])
    for i in range(cones.rays[b], cones.rays[b + 1]):
        if side == -2 or signs[i] == 0 or signs[i] == side:
            for j in range(cones.ray.shape[1]):
                out.ray[at[0], j] = cones.ray[i, j]
            out.zeros[at[0]] = cones.zeros[i] | (bit if new and signs[i] == 0 else NONE)
            at[0] += 1


@njit(nogil=True)
def _strict(cones: Cones, b: int) -> np.uint64:
    """The strict facets of a region, as bits."""
    found = NONE
    for k in range(cones.facets[b], cones.facets[b + 1]):
        if cones.facet[k] & 1:
            found |= ONE << np.uint64(k - cones.facets[b])
    return found


@njit(nogil=True)
def _is_excluded(cones: Cones, b: int, signs: NDArray) -> bool:
    """Whether no face on which the form is 0 belongs to the region: there is none, or a strict form is 0 on it too."""
    common, some = _strict(cones, b), False
    for i in range(cones.rays[b], cones.rays[b + 1]):
        if signs[i] == 0:
            common &= cones.zeros[i]
            some = True
    return not some or common != NONE


@njit(nogil=True)
def _keep_facets(cones: Cones, b: int, new: int, part: int, out: Cones) -> None:
    """Enter the facets of a part, and a new one, that touch one of its rays, with new numbers in the rays' sets."""
    first, last, n = out.rays[part], out.rays[part + 1], cones.facets[b + 1] - cones.facets[b]
    touched = NONE if last - first > 1 else ~NONE  # a single ray needs a facet to say which end of a line it is
    for i in range(first, last):
        touched |= out.zeros[i]
    at = out.facets[part]
    for k in range(n + (new >= 0)):
        old, moved = ONE << np.uint64(k), ONE << np.uint64(at - out.facets[part])
        if touched & old:
            out.facet[at] = cones.facet[cones.facets[b] + k] if k < n else new
            for i in range(first, last):
                if moved != old and out.zeros[i] & old:
                    out.zeros[i] = (out.zeros[i] & ~old) | moved
            at += 1
    out.facets[part + 1] = at


@njit(nogil=True)
def _add_between(cones: Cones, b: int, signs: NDArray, at: NDArray, out: Cones) -> None:
    """Enter the facets of the rays on which a form is 0 between adjacent rays on its two sides, from at[0] on."""
    first, last = cones.rays[b], cones.rays[b + 1]
    bit = ONE << np.uint64(cones.facets[b + 1] - cones.facets[b])
    for i in range(first, last):
        for j in range(first, last):
            if signs[i] > 0 and signs[j] < 0:
                both, adjacent = cones.zeros[i] & cones.zeros[j], True
                for k in range(first, last):
                    if k != i and k != j and cones.zeros[k] & both == both:
                        adjacent = False
                if adjacent:
                    out.zeros[at[0]] = both | bit
                    at[0] += 1


@njit(nogil=True)
def _meet(form: NDArray, cones: Cones, b: int, both: np.uint64, state: int, ray: NDArray, at: int) -> None:
    """Enter the ray in which facets `both` and the plane of a state meet; its doubt is 1 where float64 cannot tell."""
    r, first = form.shape[1], cones.facets[b]
    lines, count = np.empty((r - 1, r)), 1
    for j in range(r):
        ray[at, j], lines[0, j] = 0.0, form[state, j]
    ray[at, r] = 1.0
    for k in range(cones.facets[b + 1] - first):
        if both & (ONE << np.uint64(k)):
            if count < r - 1:
                for j in range(r):
                    lines[count, j] = form[cones.facet[first + k] >> 1, j]
            count += 1
    # All facets through two rays of a cone of three parameters are one; else, where there are more, they may depend.
    if count < r - 1 or (count > r - 1 and r > 3):
        return
    cross = _cofactors(lines)
    best, largest = 0.0, 0.0
    for k in range(cones.facets[b + 1] - first):  # facets that do not meet here say which end of the line it is
        if not both & (ONE << np.uint64(k)):
            total = 0.0
            for j in range(r):
                total += form[cones.facet[first + k] >> 1, j] * cross[j]
            if abs(total) > abs(best):
                best = -total if cones.facet[first + k] & 1 else total
    for j in range(r):
        largest = max(largest, abs(cross[j]))
    doubt = doubt_of(r)
    if abs(best) > doubt and largest > doubt:
        for j in range(r):
            ray[at, j] = cross[j] / largest if best > 0.0 else -cross[j] / largest
        ray[at, r] = doubt / largest


@njit(nogil=True)
def _cofactors(lines: NDArray) -> NDArray:
    """The vector (r,) whose product with a form is its determinant with r - 1 lines, expanded along each of them."""
    r = lines.shape[1]
    full = (1 << r) - 1
    minor = np.zeros(1 << r)
    minor[0] = 1.0
    for columns in range(1, full):
        row = -1
        for j in range(r):
            row += (columns >> j) & 1
        total, sign = 0.0, 1.0 if row % 2 == 0 else -1.0
        for j in range(r):
            if (columns >> j) & 1:
                total += sign * lines[row, j] * minor[columns ^ (1 << j)]
                sign = -sign
        minor[columns] = total
    cross = np.empty(r)
    for j in range(r):
        cross[j] = minor[full ^ (1 << j)] * (1.0 if (r - 1 + j) % 2 == 0 else -1.0)
    return cross
