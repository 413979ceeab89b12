"""Cells whose facets move with the leak, in compiled code: cones that are cut alike for all leaks of an interval."""

# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from convexsnn.bounds.cells.cutting import (
    NONE, ONE, Cones, CutCones, _is_excluded, _keep_facets, _keep_rays,
)
from convexsnn.bounds.cells.deciding import TOUCHING, Open, Standing, Weights, _fire, _leave_open
from convexsnn.bounds.cells.polynomials import at, cofactors, product, sign_on
from convexsnn.compiling import cached

HUGE = 1e300


class MovingTable(NamedTuple):
    node: NDArray
    form: NDArray
    error: NDArray
    next: NDArray
    first: NDArray


@cached
def moving_signs(cones: Cones, table: MovingTable, span: NDArray, state: NDArray, r: int) -> NDArray:
    signs = np.empty(len(cones.ray), dtype=np.int8)
    K, N = table.form.shape[1] // r, (cones.ray.shape[1] - 1) // r
    p, room = np.empty(K + N), np.empty(K + N)
    for b in range(len(state)):
        for i in range(cones.rays[b], cones.rays[b + 1]):
            error = product(table.form[state[b]], table.error[state[b]], cones.ray[i], r, p)
            signs[i] = sign_on(p, K + N - 1, error, span[b, 0], span[b, 1], room)
    return signs


@cached
def products(cones: Cones, table: MovingTable, state: NDArray, rays: NDArray, r: int) -> NDArray:
    """The polynomials of forms of states on rays, (n, D + 1), and their errors last."""
    K, N = table.form.shape[1] // r, (cones.ray.shape[1] - 1) // r
    out = np.zeros((len(rays), K + N))
    for k in range(len(rays)):
        out[k, K + N - 1] = product(table.form[state[k]], table.error[state[k]], cones.ray[rays[k]], r, out[k])
    return out


def cut_moving(cones: Cones, table: MovingTable, span: NDArray, state: NDArray, signs: NDArray, r: int) -> CutCones:
    B, width, starts = len(state), cones.ray.shape[1], cones.rays[:-1]
    above, below = (np.add.reduceat(signs == sign, starts, dtype=np.int64) for sign in (1, -1))
    room = 2 * int((np.diff(cones.rays) + above * below).sum())
    rays, facets = np.zeros(2 * B + 1, dtype=np.int64), np.zeros(2 * B + 1, dtype=np.int64)
    facet = np.empty(2 * (len(cones.facet) + B), dtype=np.int64)
    out = Cones(np.empty((room, width)), np.empty(room, dtype=np.uint64), rays, facet, facets)
    origin, fires = np.empty(2 * B, dtype=np.int64), np.empty(2 * B, dtype=bool)
    n = _cut_all_moving(cones, table, span, state, signs, np.stack([above, below], axis=1), CutCones(out, origin, fires), r)
    kept = Cones(out.ray[: rays[n]], out.zeros[: rays[n]], rays[: n + 1], facet[: facets[n]], facets[: n + 1])
    return CutCones(kept, origin[:n], fires[:n])


@cached
def _cut_all_moving(cones, table, span, state, signs, counts, out, r):
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
            every = not crossing and (not fires or below == 0)
            _keep_rays(cones, b, signs, -2 if every else 1 if fires else -1, new >= 0, out.cones.rays[n + 1 :], out.cones)
            if crossing:
                _add_moving(cones, b, signs, table, 0.5 * (span[b, 0] + span[b, 1]), state[b], out.cones.rays[n + 1 :], out.cones, r)
            _keep_facets(cones, b, new, n, out.cones)
            out.origin[n], out.fires[n] = b, fires
            n += 1
    return n


@njit(nogil=True)
def _add_moving(cones, b, signs, table, middle, state, where, out, r):
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
                    _meet_moving(table, cones, b, both, state, middle, out.ray[where[0]], r)
                    out.zeros[where[0]] = both | bit
                    where[0] += 1


@njit(nogil=True)
def _meet_moving(table, cones, b, both, state, middle, ray, r):
    K, first = table.form.shape[1] // r, cones.facets[b]
    lines, errors, count = np.empty((r - 1, K * r)), np.empty(r - 1), 1
    lines[0], errors[0] = table.form[state], table.error[state]
    ray[:] = 0.0
    ray[-1] = HUGE
    for k in range(cones.facets[b + 1] - first):
        if both & (ONE << np.uint64(k)):
            if count < r - 1:
                lines[count], errors[count] = table.form[cones.facet[first + k] >> 1], table.error[cones.facet[first + k] >> 1]
            count += 1
    if count < r - 1 or (count > r - 1 and r > 3):
        return
    found = np.empty(((ray.shape[0] - 1)))
    error = cofactors(lines, errors, r, found)
    N = found.shape[0] // r
    # orientation
    best, doubt = 0.0, 0.0
    p = np.empty(K + N)
    whole = np.empty(found.shape[0] + 1)
    whole[:-1] = found
    whole[-1] = error
    for k in range(cones.facets[b + 1] - first):
        if not both & (ONE << np.uint64(k)):
            s = cones.facet[first + k] >> 1
            e = product(table.form[s], table.error[s], whole, r, p)
            total, size, power = 0.0, 0.0, 1.0
            for n in range(K + N - 1):
                total += p[n] * power
                size += abs(p[n]) * power
                power *= middle
            off = 1.01 * e + 4 * (K + N) * 1.2e-16 * size
            if abs(total) > off and abs(total) - off > abs(best):
                best = -(abs(total) - off) if (total > 0.0) == bool(cones.facet[first + k] & 1) else abs(total) - off
    if best == 0.0:
        return
    shift = 0
    if error == 0.0:  # a common factor x
        zero = True
        while zero:
            for j in range(r):
                if found[shift * r + j] != 0.0:
                    zero = False
            if zero:
                shift += 1
    largest = 0.0
    for n in range(found.shape[0]):
        largest = max(largest, abs(found[n]))
    scale = 1.0
    if error > 0.0:
        scale = 2.0 ** -np.floor(np.log2(largest))
        error *= scale
    if best < 0.0:
        scale = -scale
    for n in range(found.shape[0] - shift * r):
        ray[n] = scale * found[n + shift * r]
    ray[-1] = error


def decide_moving(cones: Cones, span: NDArray, before: Open, table: MovingTable, weights: Weights, r: int) -> tuple[Open, Standing]:
    B, room = len(before.value), 2 * len(before.entry) + 64
    while True:
        bits, value = before.bits.copy(), before.value.copy()
        after = Open(np.empty(room, dtype=np.int64), np.zeros(B + 1, dtype=np.int64), bits, value)
        standing = Standing(np.zeros_like(value), np.zeros_like(value), np.full(B, -1), np.zeros(B, dtype=np.int64))
        if _decide_moving(cones, span, before, after, standing, table, weights, r):
            after = after._replace(entry=after.entry[: after.entries[-1]].copy())
            return after, standing._replace(low=value - standing.low, high=value + standing.high)
        room *= 2


@cached
def _decide_moving(cones, span, before, after, standing, table, weights, r):
    stack = np.empty(len(table.first) + len(before.entry) + 8, dtype=np.int64)
    K, N = table.form.shape[1] // r, (cones.ray.shape[1] - 1) // r
    p, room, f = np.empty(K + N), np.empty(K + N), np.empty(r)
    where = 0
    for b in range(len(before.value)):
        first, last = cones.rays[b], cones.rays[b + 1]
        middles = np.empty((last - first, r))
        middle = 0.5 * (span[b, 0] + span[b, 1])
        for i in range(first, last):
            at(cones.ray[i], r, N, middle, middles[i - first])
            size = 0.0
            for j in range(r):
                size += abs(middles[i - first, j])
            if size > 0.0:
                middles[i - first] /= size
        size, best = 0, -1.0
        for k in range(before.entries[b], before.entries[b + 1]):
            stack[size] = before.entry[k]
            size += 1
        while size > 0:
            size -= 1
            now, node = stack[size], -1
            if now >= 0:
                node = table.node[now]
                balance = _moving_balance(cones, b, table, now, span, middle, middles, p, room, f, r)
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
                start_, last_ = table.first[node], table.first[node + 1]
                start = table.next[(-now - 1) >> 1, (-now - 1) & 1]
                if start_ == last_ or start >= 0:
                    for k in range(last_ - start_):
                        stack[size] = start + k
                        size += 1
                    continue
                standing.waiting[b] += 1
                _leave_open(standing, b, weights, start_, last_)
            if where == len(after.entry):
                return False
            after.entry[where] = now
            where += 1
        after.entries[b + 1] = where
    return True


@njit(nogil=True)
def _moving_balance(cones, b, table, state, span, middle, middles, p, room, f, r):
    K, N = table.form.shape[1] // r, (cones.ray.shape[1] - 1) // r
    first = cones.rays[b]
    above, below = 0.0, 0.0
    at(table.form[state], r, K, middle, f)
    for i in range(len(middles)):
        total = 0.0
        for j in range(r):
            total += f[j] * middles[i, j]
        above, below = max(above, total), max(below, -total)
    sure = min(above, below) <= 1e-9 * (above + below)
    if sure:
        wanted = -1 if below > above else 1
        for i in range(len(middles)):
            error = product(table.form[state], table.error[state], cones.ray[first + i], r, p)
            if sign_on(p, K + N - 1, error, span[b, 0], span[b, 1], room) != wanted:
                sure = False
                break
        if sure:
            return -1.0 if wanted > 0 else -2.0
    return min(above, below) / (above + below) if above + below > 0.0 else 0.0
