"""All sign vectors of an arrangement of hyperplanes through the origin, from its vertices.

In general position m hyperplanes in R^r have 2 sum_{k<r} C(m-1, k) cells (Schlaefli, Cover 1965), about as many as the
C(m, r-1) lines in which r-1 of them meet, and every face touches such a line (or is the origin). So all faces are found
by visiting the lines: away from the hyperplanes that hold a line the signs are those on it, and on them the faces are
those of a smaller arrangement, found in the same way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Signs = NDArray[np.int8]

# Sines, and volumes of unit normals, up to EXACT are taken to be zero: what rounding leaves of exact ties is a tenth.
EXACT = 1e-14
# Beyond, but up to so many times that, and for sets of normals up to that volume, it cannot be told: such are refused.
DOUBTFUL, FLAT = 100.0, 1e-8
CHUNK_ENTRIES = 2**23


class NearlySpecialError(ValueError):
    """Hyperplanes meet nearly, but not exactly: which faces there are cannot be told in float64."""

    def __init__(self) -> None:
        super().__init__(
            "sequences are nearly, but not exactly, in a special position (inputs almost equal, or almost linearly "
            "dependent), so that float64 cannot tell which patterns there are: round X to fewer digits, or use method "
            "'milp' or 'universal'"
        )


def count_candidates(m: int, r: int, *, affine: bool) -> float:
    """How many sign vectors `sign_vectors` visits for m hyperplanes of rank r in general position."""
    return math.comb(m, r - 1) * 2.0 ** (r - 1) * (1.0 if affine else 2.0)


def sign_vectors(H: Floats, *, affine: bool = False, zeros: bool = True) -> Iterator[Signs]:
    """Chunks (k, m) of the signs (-1, 0, 1) of every face; a face may come more than once.

    Parameters
    ----------
    H : float64 array of shape (m, r)
        Distinct normal vectors of length one. Their rank must be r; with `affine` that of all but the last column must
        be r - 1.
    affine : bool
        Only the faces where the last coordinate is positive.
    zeros : bool
        False leaves out faces on which a sign is zero where the sign vectors of all their neighbours are given.

    Raises
    ------
    NearlySpecialError
        When hyperplanes meet within rounding of a line, and not so nearly that they may be taken to meet in it.
    """
    m, r = H.shape
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
        rays, volumes = _lines(H[chosen])
        apart = volumes > EXACT
        if (volumes[apart] <= FLAT).any():
            raise NearlySpecialError
        rays, chosen, volumes = rays[apart], chosen[apart], volumes[apart, None]
        if affine:
            kept = _signs(rays[:, -1:], volumes)[:, 0] != 0
            rays, chosen, volumes = rays[kept] * np.sign(rays[kept, -1:]), chosen[kept], volumes[kept]
        values = rays @ H.T
        np.put_along_axis(values, chosen, 0.0, axis=1)
        signs = _signs(values, volumes)
        simple = (signs == 0).sum(axis=1) == r - 1
        for side in (signs,) if affine else (signs, -signs):
            yield _expand(side[simple], chosen[simple], local)
            for around in np.unique(side[~simple], axis=0):
                if around.tobytes() not in seen:
                    seen.add(around.tobytes())
                    yield from _degenerate(H, around)


def _signs(values: Floats, volumes: Floats) -> Signs:
    """Signs of products (k, m) with lines of volumes (k, 1), whose directions are rounded by about eps / volume."""
    size = np.abs(values) * volumes
    if ((size > EXACT) & (size <= DOUBTFUL * EXACT)).any():
        raise NearlySpecialError
    return np.where(size <= EXACT, 0, np.sign(values)).astype(np.int8)


def _lines(normals: Floats) -> tuple[Floats, Floats]:
    """The line in which r-1 hyperplanes (k, r-1, r) meet, by cofactors: unit vectors (k, r), and the volumes (k,)."""
    r = normals.shape[2]
    minors = [np.linalg.det(np.delete(normals, j, axis=2)) * (-1) ** j for j in range(r)]
    rays = np.stack(minors, axis=1)
    volumes = np.linalg.norm(rays, axis=1)
    return rays / np.maximum(volumes, 1e-300)[:, None], volumes


def _expand(signs: Signs, chosen: NDArray[np.int64], local: Signs) -> Signs:
    """All sign vectors around lines that r-1 hyperplanes hold: (k * len(local), m)."""
    around = np.repeat(signs, len(local), axis=0)
    np.put_along_axis(around, np.repeat(chosen, len(local), axis=0), np.tile(local, (len(signs), 1)), axis=1)
    return around


def _degenerate(H: Floats, around: Signs) -> Iterator[Signs]:
    """The sign vectors around a line that more than r-1 hyperplanes hold, which make a smaller arrangement."""
    held = np.flatnonzero(around == 0)
    # The held normals span the complement of the line, of dimension r-1.
    basis = np.linalg.svd(H[held], full_matrices=False)[2][: H.shape[1] - 1]
    smaller = H[held] @ basis.T
    smaller /= np.linalg.norm(smaller, axis=1, keepdims=True)
    for local in sign_vectors(smaller):
        whole = np.repeat(around[None, :], len(local), axis=0)
        whole[:, held] = local
        yield whole
