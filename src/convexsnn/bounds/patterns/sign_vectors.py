"""All sign vectors of an arrangement of hyperplanes through the origin, from its vertices.

In general position m hyperplanes in R^r have 2 sum_{k<r} C(m-1, k) cells (Schlaefli, Cover 1965). That is about as many
as the C(m, r-1) lines in which r-1 of them meet. Every face touches such a line, or is the origin. So all faces are
found by visiting the lines: away from the hyperplanes that hold a line the signs are those on it, and on them the faces
are those of a smaller arrangement, found in the same way.

No sign is wrong: it is that of a determinant of integers. It is taken from float64 where this is more than its rounding
can be, and else computed again in integers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexsnn.rationals import Floats, Integers, sign_of

Signs = NDArray[np.int8]

CHUNK_ENTRIES = 2**23


@dataclass(frozen=True, eq=False)
class Planes:
    """Hyperplanes through the origin, no two of them equal.

    Attributes
    ----------
    exact : integer array of shape (m, r)
        Their normals.
    near : float64 array of shape (m, r)
        The normals over the sum of their absolute entries; each entry is within half a unit in its last place.
    """

    exact: Integers
    near: Floats

    @classmethod
    def of(cls, exact: Integers) -> Planes:
        """Hyperplanes of integer normals, none of them zero."""
        sizes = np.abs(exact).sum(axis=1, keepdims=True)
        return cls(exact, (exact / sizes).astype(np.float64))

    @property
    def doubt(self) -> float:
        """How far a determinant of r of the `near` normals can be from that of the true ones.

        It is a sum of products of r entries, of absolute sum at most 1, as rows have. Each is rounded at most r (r + 3)
        / 2 times by eps / 2 (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). Four times that
        covers the terms of second order and what falls below the smallest float.
        """
        r = self.exact.shape[1]
        return r * (r + 3) * float(np.finfo(np.float64).eps)


def count_candidates(m: int, r: int, *, affine: bool) -> float:
    """How many sign vectors `sign_vectors` visits for m hyperplanes of rank r in general position."""
    return math.comb(m, r - 1) * 2.0 ** (r - 1) * (1.0 if affine else 2.0)


def sign_vectors(planes: Planes, *, affine: bool = False, zeros: bool = True) -> Iterator[Signs]:
    """Chunks (k, m) of the signs (-1, 0, 1) of every face; a face may come more than once.

    Parameters
    ----------
    planes : Planes
        m hyperplanes of rank r; with `affine` of rank r together with the one on which the last coordinate is 0.
    affine : bool
        Only the faces on which the last coordinate is positive.
    zeros : bool
        False leaves out faces on which a sign is zero where the sign vectors of all their neighbours are given.
    """
    m, r = planes.exact.shape
    if r == 0 or m == 0:
        yield np.zeros((1, m), dtype=np.int8)
        return
    if not affine:
        yield np.zeros((1, m), dtype=np.int8)
    local = np.array(list(itertools.product((-1, 0, 1) if zeros else (-1, 1), repeat=r - 1)), dtype=np.int8)
    seen: set[bytes] = set()
    size = max(1, CHUNK_ENTRIES // (m * max(1, len(local))))
    subsets = itertools.combinations(range(m), r - 1)
    while chunk := list(itertools.islice(subsets, size)):
        chosen = np.array(chunk, dtype=np.int64).reshape(len(chunk), r - 1)
        lines = _lines(planes, chosen, affine=affine)
        simple = (lines.signs == 0).sum(axis=1) == r - 1
        sides = (1,) if affine else (1, -1)
        for side in sides:
            yield _expand(side * lines.signs[simple], lines.chosen[simple], local)
        for k in np.flatnonzero(~simple).tolist():
            around = lines.signs[k]
            if around.tobytes() not in seen:
                seen.update((side * around).tobytes() for side in sides)
                yield from _degenerate(planes, around, lines.directions[k], sides)


def share_of_doubt(planes: Planes, samples: int = 200) -> float:
    """About which share of the signs on lines must be computed in integers."""
    m, r = planes.exact.shape
    if m <= r:
        return 0.0
    random = np.random.default_rng(0)
    chosen = np.sort(np.array([random.choice(m, size=r - 1, replace=False) for _ in range(samples)]), axis=1)
    values = _cofactors(planes.near[chosen]) @ planes.near.T
    np.put_along_axis(values, chosen, 1.0, axis=1)
    return float((np.abs(values) <= planes.doubt).mean())


@dataclass(frozen=True, eq=False)
class _Lines:
    """Lines in which r-1 hyperplanes meet: which, the signs of all on it, and directions of those that more hold."""

    chosen: NDArray[np.int64]
    signs: Signs
    directions: dict[int, Integers]


def _lines(planes: Planes, chosen: NDArray[np.int64], *, affine: bool) -> _Lines:
    """The lines of subsets `chosen` (k, r-1) that have one; with `affine` those that meet the last coordinate's 1."""
    rays = _cofactors(planes.near[chosen])
    values = rays @ planes.near.T
    np.put_along_axis(values, chosen, 0.0, axis=1)
    if affine:  # the last coordinate is one more sign
        values = np.concatenate([values, rays[:, -1:]], axis=1)
    doubtful = np.abs(values) <= planes.doubt
    np.put_along_axis(doubtful, chosen, False, axis=1)
    signs = np.sign(values).astype(np.int8)
    again = np.flatnonzero(doubtful.any(axis=1))
    directions = dict(zip(again.tolist(), _cofactors(planes.exact[chosen[again]]), strict=True)) if len(again) else {}
    kept = np.ones(len(chosen), dtype=bool)
    for k, direction in directions.items():
        kept[k] = direction.any()  # else the hyperplanes meet in more than a line
        if kept[k]:
            j = np.flatnonzero(doubtful[k])
            own = j[j < len(planes.exact)]
            signs[k, own] = sign_of(planes.exact[own] @ direction)
            if len(own) < len(j):
                signs[k, -1] = sign_of(direction[-1:])[0]
    if affine:
        upward = signs[:, -1]
        kept &= upward != 0
        signs = signs[:, :-1] * upward[:, None]
    places = np.cumsum(kept) - 1
    return _Lines(chosen[kept], signs[kept], {int(places[k]): v for k, v in directions.items() if kept[k]})


def _cofactors(normals: NDArray) -> NDArray:
    """The direction (k, r) of the line in which r-1 hyperplanes (k, r-1, r) meet: h @ direction is their determinant.

    Every minor of the first rows is expanded along its last row; floats and integers alike.
    """
    count, rows, r = normals.shape
    minors: dict[tuple[int, ...], NDArray] = {(): np.ones(count, dtype=normals.dtype)}
    for i in range(rows):
        minors = {
            columns: _expanded(normals[:, i], columns, minors) for columns in itertools.combinations(range(r), i + 1)
        }
    every = tuple(range(r))
    return np.stack([(-1) ** j * minors[every[:j] + every[j + 1 :]] for j in range(r)], axis=1)


def _expanded(row: NDArray, columns: tuple[int, ...], minors: dict[tuple[int, ...], NDArray]) -> NDArray:
    """The minor of these columns and the rows up to `row` (k, r), from those of one row less."""
    total = np.zeros_like(row[:, 0])
    for q, j in enumerate(columns):
        total = total + (-1) ** (len(columns) - 1 + q) * row[:, j] * minors[columns[:q] + columns[q + 1 :]]
    return total


def _expand(signs: Signs, chosen: NDArray[np.int64], local: Signs) -> Signs:
    """All sign vectors around lines that r-1 hyperplanes hold: (k * len(local), m)."""
    around = np.repeat(signs, len(local), axis=0)
    np.put_along_axis(around, np.repeat(chosen, len(local), axis=0), np.tile(local, (len(signs), 1)), axis=1)
    return around


def _degenerate(planes: Planes, around: Signs, direction: Integers, sides: tuple[int, ...]) -> Iterator[Signs]:
    """The sign vectors around a line that more than r-1 hyperplanes hold, which make a smaller arrangement.

    Along the line nothing changes on them, so one coordinate in which it runs can be left out. In its other direction,
    where that is asked for, the signs of all other hyperplanes are reversed.
    """
    held = np.flatnonzero(around == 0)
    along = int(np.argmax(np.abs(direction)))
    for local in sign_vectors(Planes.of(np.delete(planes.exact[held], along, axis=1))):
        for side in sides:
            whole = np.repeat(side * around[None, :], len(local), axis=0)
            whole[:, held] = local
            yield whole
