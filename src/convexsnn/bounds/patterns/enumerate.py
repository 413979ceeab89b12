"""Patterns of one unit: from the sign vectors of its decision trees to 0/1 columns and spike trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.patterns.dynamics import Bits
from convexsnn.bounds.patterns.sign_vectors import Planes, Signs, count_candidates, share_of_doubt, sign_vectors
from convexsnn.bounds.patterns.trees import Trees
from convexsnn.rationals import Integers, bit_length, independent_columns, primitive

# Sign vectors that are followed together, where there are so many.
LEAST = 4096
# Bits to which the directions are rounded in which hyperplanes are looked at.
PRECISION = 30


@dataclass(frozen=True, eq=False)
class Patterns:
    """Distinct columns, and spike trains that give them.

    Attributes
    ----------
    columns : uint8 array of shape (P, ceil(rows / 8))
        Packed by `numpy.packbits`.
    trains : uint8 array of shape (P, ...)
        Packed decisions of every distinct sequence along the way: T spikes, and T read bits where the membrane is read.
    """

    columns: NDArray[np.uint8]
    trains: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Arranged:
    """The distinct hyperplanes of the trees of a unit.

    Attributes
    ----------
    planes : Planes
        M of them, in coordinates of full rank; with a threshold the last coordinate is its size.
    affine : bool
        Whether there is a threshold, which must be positive.
    plane : list of int64 arrays of the shapes of the trees
        The hyperplane of each node; M where the form is zero, whose decision is always 1, and where no row needs it.
    side : list of int8 arrays of the shapes of the trees
        1 or -1: the orientation of the node's form.
    """

    planes: Planes
    affine: bool
    plane: list[NDArray[np.int64]]
    side: list[Signs]

    @property
    def count(self) -> int:
        """M."""
        return self.planes.exact.shape[0]

    @property
    def rank(self) -> int:
        """Coordinates."""
        return self.planes.exact.shape[1]

    @property
    def candidates(self) -> float:
        """Sign vectors to visit, in general position."""
        return count_candidates(self.count, self.rank, affine=self.affine) if self.rank else 1.0

    @property
    def doubtful(self) -> float:
        """About how many signs must be computed in integers."""
        if self.rank < 2 or self.count <= self.rank:
            return 0.0
        return share_of_doubt(self.planes) * self.candidates / 2.0 ** (self.rank - 1) * self.count


def arrange(trees: Trees) -> Arranged:
    """Reduce the forms of a unit's trees to distinct hyperplanes in coordinates of full rank; nothing is rounded."""
    sizes = [level.shape[:2] for level in trees.levels]
    forms = np.concatenate([level.reshape(-1, level.shape[2]) for level in trees.levels])
    needed = np.concatenate([np.repeat(used, size[1]) for used, size in zip(trees.needed, sizes, strict=True)])
    places: dict[tuple[int, ...], tuple[int, int]] = {}
    normals: list[list[int]] = []
    plane, side = np.full(len(forms), -1), np.ones(len(forms), dtype=np.int8)
    for k in np.flatnonzero(needed).tolist():
        form = tuple(forms[k].tolist())
        if form not in places:
            places[form] = _place(form, places, normals)
        plane[k], side[k] = places[form]
    plane[plane < 0] = len(normals)
    exact = _in_coordinates(np.array(normals, dtype=object).reshape(len(normals), forms.shape[1]), trees.dynamics.theta)
    return Arranged(Planes.of(exact), trees.dynamics.theta is not None, _split(plane, sizes), _split(side, sizes))


def _place(
    form: tuple[int, ...], places: dict[tuple[int, ...], tuple[int, int]], normals: list[list[int]]
) -> tuple[int, int]:
    """The number of a form's hyperplane, which is entered where it is new, and the form's side; -1 for a zero form."""
    leading = next((entry for entry in form if entry), 0)
    if leading == 0:
        return -1, 1
    side = 1 if leading > 0 else -1
    normal = tuple(side * entry for entry in primitive(form))
    if normal not in places:
        places[normal] = len(normals), 1
        normals.append(list(normal))
    return places[normal][0], side


def _in_coordinates(normals: Integers, theta: int | None) -> Integers:
    """Normals (M, r) as those of the same hyperplanes in fewer coordinates, on which they depend: (M, q).

    Parameters in which all others are linear are left out. The rest is turned and scaled by a matrix of integers, near
    the one that makes the normals uncorrelated, as float64 then tells more signs. The threshold stays the last.
    """
    free = normals if theta is None else np.delete(normals, theta, axis=1)
    free = free[:, independent_columns(free.tolist(), free.shape[1])]
    if free.size:
        free = free @ _turn(free)
    if theta is None:
        return free
    size = normals[:, [theta]]
    free, size = (
        free << max(0, bit_length(size) - bit_length(free)),
        size << max(0, bit_length(free) - bit_length(size)),
    )
    return np.concatenate([free, size], axis=1)


def _turn(normals: Integers) -> Integers:
    """An invertible matrix of integers that makes normals (M, q) of rank q about uncorrelated."""
    q = normals.shape[1]
    lengths = [bit_length(column) for column in normals.T]
    units = np.zeros((q, q), dtype=object)
    units[np.arange(q), np.arange(q)] = [1 << (max(lengths) - length) for length in lengths]
    scaled = normals @ units
    near = (scaled / np.maximum(1, np.abs(scaled).sum(axis=1, keepdims=True))).astype(np.float64)
    values, basis = np.linalg.svd(near, full_matrices=False)[1:]
    if len(values) < q or values[-1] <= 0.0:
        return units
    turn = basis.T * (values[-1] / values)
    whole = np.rint(np.ldexp(turn / np.abs(turn).max(axis=0).min(), PRECISION))
    turned = np.array([[int(entry) for entry in row] for row in whole.tolist()], dtype=object).reshape(q, q)
    return units @ turned if len(independent_columns(turned.tolist(), q)) == q else units


def _split(flat: NDArray, sizes: list[tuple[int, int]]) -> list[NDArray]:
    """A value a form as a value a node of each level."""
    cuts = np.cumsum([rows * nodes for rows, nodes in sizes])[:-1]
    return [part.reshape(size) for part, size in zip(np.split(flat, cuts), sizes, strict=True)]


def enumerate_patterns(
    trees: Trees, arranged: Arranged, on_visit: Callable[[int], object] = lambda _: None
) -> Patterns:
    """All distinct columns of a unit, the silent one among them where it can be had.

    `on_visit` is told how many sign vectors have been visited.
    """
    found: dict[bytes, bytes] = {}
    visited = 0
    chunks = sign_vectors(arranged.planes, affine=arranged.affine, zeros=_has_opposites(arranged))
    for signs in _gathered(chunks):
        for part in np.array_split(signs, len(signs) * _width(trees) // 2**24 + 1) if len(signs) else ():
            columns, trains = walk(trees, arranged, part)
            packed = np.packbits(columns, axis=1)
            _, first = np.unique(_as_keys(packed), return_index=True)
            for key, train in zip(packed[first], np.packbits(trains[first], axis=1), strict=True):
                found.setdefault(key.tobytes(), train.tobytes())
        visited += len(signs)
        on_visit(visited)
    unpack = lambda items: np.array([np.frombuffer(item, dtype=np.uint8) for item in items])  # noqa: E731
    return Patterns(unpack(found.keys()), unpack(found.values()))


def _gathered(chunks: Iterator[Signs]) -> Iterator[Signs]:
    """The same sign vectors in chunks of at least LEAST, but for the last."""
    waiting: list[Signs] = []
    count = 0
    for chunk in chunks:
        waiting.append(chunk)
        count += len(chunk)
        if count >= LEAST:
            yield np.concatenate(waiting)
            waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)


def walk(trees: Trees, arranged: Arranged, signs: Signs) -> tuple[Bits, Bits]:
    """Follow every tree under sign vectors (k, M): columns (k, rows), and decisions (k, m * T) or (k, 2 * m * T)."""
    padded = np.concatenate([signs, np.zeros((len(signs), 1), dtype=np.int8)], axis=1)
    T, m = len(trees.fire), trees.n_sequences
    history = np.zeros((len(signs), m), dtype=np.int64)
    each, spikes, read = np.arange(m), [], []
    bit = lambda level, at: (  # noqa: E731
        np.take_along_axis(padded, arranged.plane[level][each, at], axis=1) * arranged.side[level][each, at] >= 0
    )
    for t in range(T):
        fired = bit(t, history)
        history = 2 * history + fired
        spikes.append(fired)
        if trees.read:
            read.append(bit(T + t, history))
    shown = np.stack(read or spikes, axis=2)
    trains = np.concatenate([np.stack(bits, axis=2).reshape(len(signs), -1) for bits in (spikes, read) if bits], axis=1)
    return shown[:, trees.sequence, trees.step], trains


def _has_opposites(arranged: Arranged) -> bool:
    """Whether two decisions take opposite sides of one hyperplane: then both are 1 on it, as on neither side."""
    plane = np.concatenate([level.ravel() for level in arranged.plane])
    side = np.concatenate([level.ravel() for level in arranged.side])
    both = np.unique(np.stack([plane, side], axis=1)[plane < arranged.count], axis=0)
    return len(both) > len(np.unique(both[:, 0]))


def _width(trees: Trees) -> int:
    return max(len(trees.sequence), trees.n_sequences * (len(trees.fire) + len(trees.read)))


def _as_keys(packed: NDArray[np.uint8]) -> NDArray[np.void]:
    return np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
