"""Cells as cones, cut in compiled code: the double description method on batches, with signs that are certain.

A region is a cone of parameters in which some decisions are taken already. It is kept as its rays, and its facets:
forms that are >= 0 on it (where the neuron fires) or < 0 (where it does not). The closure of the region is spanned by
its rays. The region itself has every face of the closure on which no strict form is 0.

References
----------
T. Motzkin, H. Raiffa, G. Thompson, R. Thrall 1953; K. Fukuda and A. Prodon, Double description method revisited, 1996.
"""

# pyright: reportCallIssue=false

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from convexsnn.compiling import cached

# A region of more facets is not cut, as their set is one number of 64 bits.
MOST_FACETS = 63
ONE = np.uint64(1)
NONE = np.uint64(0)


class Table(NamedTuple):
    """States as compiled code reads them.

    Attributes
    ----------
    node : int64 array of shape (S,)
        Of the decision tree; -1 for the planes on which a parameter is 0.
    form : float64 array of shape (S, r)
        Over the sum of its absolute entries, each within half a unit in the last place.
    next : int64 array of shape (S, 2)
        The first of the states that follow silence or a spike; -1 where they are not made yet.
    first : int64 array of shape (N + 1,)
        As in `DecisionTree`.
    """

    node: NDArray
    form: NDArray
    next: NDArray
    first: NDArray


class Cones(NamedTuple):
    """The geometry of a batch of B regions.

    Attributes
    ----------
    ray : float64 array of shape (R, r + 1)
        Rays of largest entry 1, and how far the product with a form can be off.
    zeros : uint64 array of shape (R,)
        The facets of its region on which a ray lies, as bits.
    rays : int64 array of shape (B + 1,)
        The rays of region b are rays[b] .. rays[b + 1] - 1.
    facet : int64 array of shape (F,)
        2 * state + 1 for a form that is negative on the region, 2 * state for one that is not.
    facets : int64 array of shape (B + 1,)
    """

    ray: NDArray
    zeros: NDArray
    rays: NDArray
    facet: NDArray
    facets: NDArray


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


@cached
def cut(cones: Cones, form: NDArray, state: NDArray, signs: NDArray) -> tuple:
    """Cut each region by the form of a state, whose signs on all rays are given.

    Returns
    -------
    tuple
        The cones of the parts, and of each part the region that it is of, and whether the form is >= 0 on it.
    """
    B, r = len(state), form.shape[1]
    room_rays, room_facets = 0, 0
    for b in range(B):
        above, below, first, last = 0, 0, cones.rays[b], cones.rays[b + 1]
        for i in range(first, last):
            above += signs[i] > 0
            below += signs[i] < 0
        room_rays += 2 * (last - first + above * below)
        room_facets += 2 * (cones.facets[b + 1] - cones.facets[b] + 1)
    out = Cones(
        np.empty((room_rays, r + 1)),
        np.empty(room_rays, dtype=np.uint64),
        np.zeros(2 * B + 1, dtype=np.int64),
        np.empty(room_facets, dtype=np.int64),
        np.zeros(2 * B + 1, dtype=np.int64),
    )
    origin, fires = np.empty(2 * B, dtype=np.int64), np.empty(2 * B, dtype=np.bool_)
    parts = 0
    for b in range(B):
        first, last = cones.rays[b], cones.rays[b + 1]
        above, below = 0, 0
        for i in range(first, last):
            above += signs[i] > 0
            below += signs[i] < 0
        n = cones.facets[b + 1] - cones.facets[b]
        crossing = above > 0 and below > 0
        between, zeros = _between(cones, b, signs, form, state[b]) if crossing else _nothing(r)
        for side in (1, -1):
            if (below == 0 and side < 0) or (above == 0 and below > 0 and side > 0 and not _has_face(cones, b, signs)):
                continue
            new = -1
            if crossing or (side < 0 and not _is_excluded(cones, b, signs)):
                new = 2 * state[b] + (side < 0)
            at, bit = out.rays[parts], ONE << np.uint64(n)
            for i in range(first, last):
                # Where the form crosses nothing: all of the region, or the face on which it is 0.
                kept = side * signs[i] >= 0 if crossing else side < 0 or below == 0 or signs[i] == 0
                if kept:
                    out.ray[at] = cones.ray[i]
                    out.zeros[at] = cones.zeros[i] | (bit if signs[i] == 0 and new >= 0 else NONE)
                    at += 1
            for k in range(len(zeros)):
                out.ray[at] = between[k]
                out.zeros[at] = zeros[k] | bit
                at += 1
            out.rays[parts + 1] = at
            _keep_facets(out, parts, cones.facet[cones.facets[b] : cones.facets[b + 1]], new)
            origin[parts], fires[parts] = b, side > 0
            parts += 1
    rays, facets = out.rays[parts], out.facets[parts]
    kept = Cones(
        out.ray[:rays].copy(), out.zeros[:rays].copy(), out.rays[: parts + 1].copy(), out.facet[:facets].copy(),
        out.facets[: parts + 1].copy(),
    )  # fmt: skip
    return kept, origin[:parts].copy(), fires[:parts].copy()


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
def _has_face(cones: Cones, b: int, signs: NDArray) -> bool:
    return not _is_excluded(cones, b, signs)


@njit(nogil=True)
def _keep_facets(out: Cones, part: int, facet: NDArray, new: int) -> None:
    """Enter the facets of a part that touch one of its rays, with new numbers in the rays' sets."""
    first, last = out.rays[part], out.rays[part + 1]
    touched = NONE if last - first > 1 else ~NONE  # a single ray needs a facet to say which end of a line it is
    for i in range(first, last):
        touched |= out.zeros[i]
    at = out.facets[part]
    place = 0
    n = len(facet) + (new >= 0)
    for k in range(n):
        old = ONE << np.uint64(k)
        if touched & old:
            out.facet[at + place] = facet[k] if k < len(facet) else new
            if place != k:
                moved = ONE << np.uint64(place)
                for i in range(first, last):
                    if out.zeros[i] & old:
                        out.zeros[i] = (out.zeros[i] & ~old) | moved
            place += 1
    out.facets[part + 1] = at + place


@njit(nogil=True)
def _nothing(r: int) -> tuple:
    return np.empty((0, r + 1)), np.empty(0, dtype=np.uint64)


@njit(nogil=True)
def _between(cones: Cones, b: int, signs: NDArray, form: NDArray, state: int) -> tuple:
    """The rays on which a form is 0 between adjacent rays on its two sides, and their sets of zeros."""
    r, first, last = form.shape[1], cones.rays[b], cones.rays[b + 1]
    above, below = 0, 0
    for i in range(first, last):
        above += signs[i] > 0
        below += signs[i] < 0
    found, zeros = np.empty((above * below, r + 1)), np.empty(above * below, dtype=np.uint64)
    count = 0
    facet = cones.facet[cones.facets[b] : cones.facets[b + 1]]
    for i in range(first, last):
        if signs[i] <= 0:
            continue
        for j in range(first, last):
            if signs[j] >= 0:
                continue
            both = cones.zeros[i] & cones.zeros[j]
            adjacent = True
            for k in range(first, last):
                if k != i and k != j and cones.zeros[k] & both == both:
                    adjacent = False
                    break
            if adjacent:
                found[count] = _meeting(form, facet, both, state)
                zeros[count] = both
                count += 1
    return found[:count], zeros[:count]


@njit(nogil=True)
def _meeting(form: NDArray, facet: NDArray, both: np.uint64, state: int) -> NDArray:
    """The ray in which facets `both` and the plane of a state meet; with a doubt of 1 where float64 does not tell."""
    r = form.shape[1]
    ray, lines, count = np.zeros(r + 1), np.zeros((r - 1, r)), 1
    ray[r] = 1.0
    lines[0] = form[state]
    for k in range(len(facet)):
        if both & (ONE << np.uint64(k)):
            if count == r - 1:
                if r == 3:
                    break  # all facets through two rays of the plane are one
                return ray
            lines[count] = form[facet[k] >> 1]
            count += 1
    if count < r - 1:
        return ray
    cross = _cofactors(lines)
    doubt, best, largest = doubt_of(r), 0.0, 0.0
    for k in range(len(facet)):  # the side of the facets that do not meet here says which end of the line it is
        if not both & (ONE << np.uint64(k)):
            total = 0.0
            for j in range(r):
                total += form[facet[k] >> 1, j] * cross[j]
            if abs(total) > abs(best):
                best = -total if facet[k] & 1 else total
    for j in range(r):
        largest = max(largest, abs(cross[j]))
    if abs(best) <= doubt or largest <= doubt:
        return ray
    scale = (1.0 if best > 0.0 else -1.0) / largest
    for j in range(r):
        ray[j] = cross[j] * scale
    ray[r] = doubt / largest
    return ray


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
