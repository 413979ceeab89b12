"""Patterns of one unit: from the sign vectors of its decision trees to 0/1 columns and spike trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.decisions import Decisions
from convexsnn.bounds.sign_vectors import Floats, NearlySpecialError, Signs, count_candidates, sign_vectors

Bits = NDArray[np.bool_]
# Hyperplanes whose unit normals agree to so many digits are one.
DIGITS = 13
# Singular values, as a share of the largest, that are taken to be zero; those up to the second cannot be told.
RANK, DOUBTFUL_RANK = 1e-13, 1e-7


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
    normals : float64 array of shape (M, q)
        Unit normals, in coordinates of full rank; with a threshold the last coordinate is its size.
    affine : bool
        Whether there is a threshold, which must be positive.
    plane : list of int64 arrays of the shapes of the trees
        The hyperplane of each node; M where the form is zero, whose decision is always 1.
    side : list of int8 arrays of the shapes of the trees
        1 or -1: the orientation of the node's form.
    """

    normals: Floats
    affine: bool
    plane: list[NDArray[np.int64]]
    side: list[Signs]

    @property
    def candidates(self) -> float:
        """Sign vectors to visit, in general position."""
        return count_candidates(*self.normals.shape, affine=self.affine)


def arrange(decisions: Decisions) -> Arranged:
    """Reduce the forms of a unit's trees to distinct hyperplanes in coordinates of full rank.

    Raises
    ------
    NearlySpecialError
        When the rank cannot be told: inputs that are nearly, but not exactly, dependent.
    """
    levels = [*decisions.fire, *decisions.read]
    forms = np.concatenate([level.reshape(-1, decisions.n_parameters) for level in levels])
    theta = decisions.theta
    free = np.delete(forms, theta, axis=1) if theta is not None else forms
    largest = np.abs(free).max(axis=0, initial=0.0)
    free = free / np.where(largest > 0.0, largest, 1.0)  # features in units of their own
    values, basis = np.linalg.svd(free, full_matrices=False)[1:]
    share = values / max(1e-300, values.max(initial=0.0))
    if ((share > RANK) & (share <= DOUBTFUL_RANK)).any():
        raise NearlySpecialError
    rank = int((share > RANK).sum())
    scale = values[:rank] / np.sqrt(len(free))  # coordinates of comparable size
    reduced = free @ basis[:rank].T / scale
    if theta is not None:
        reduced = np.column_stack([reduced, forms[:, theta]])
    lengths = np.linalg.norm(reduced, axis=1, keepdims=True)
    zero = lengths[:, 0] <= 1e-12
    unit = np.where(zero[:, None], 0.0, reduced / np.maximum(lengths, 1e-300))
    rounded = np.round(unit, DIGITS) + 0.0
    leading = np.take_along_axis(rounded, np.argmax(rounded != 0.0, axis=1)[:, None], axis=1)[:, 0]
    side = np.where(leading < 0.0, -1, 1).astype(np.int8)
    keys = rounded[~zero] * side[~zero, None] + 0.0
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    plane = np.full(len(forms), len(first))
    plane[~zero] = inverse.reshape(-1)
    normals: Floats = (unit[~zero] * side[~zero, None].astype(np.float64))[first]
    return Arranged(normals, theta is not None, _split(plane, levels), _split(side, levels))


def _split(flat: NDArray, levels: list[Floats]) -> list[NDArray]:
    """A value a form as a value a node of each level."""
    cuts = np.cumsum([level.shape[0] * level.shape[1] for level in levels])[:-1]
    return [part.reshape(level.shape[:2]) for part, level in zip(np.split(flat, cuts), levels, strict=True)]


def enumerate_patterns(
    decisions: Decisions, arranged: Arranged, on_visit: Callable[[int], object] = lambda _: None
) -> Patterns:
    """All distinct columns of a unit, the silent one among them where it can be had.

    `on_visit` is told how many sign vectors have been visited.
    """
    found: dict[bytes, bytes] = {}
    visited = 0
    for signs in sign_vectors(arranged.normals, affine=arranged.affine, zeros=_has_opposites(arranged)):
        for part in np.array_split(signs, len(signs) * _width(decisions) // 2**24 + 1) if len(signs) else ():
            columns, trains = walk(decisions, arranged, part)
            packed = np.packbits(columns, axis=1)
            _, first = np.unique(_as_keys(packed), return_index=True)
            for key, train in zip(packed[first], np.packbits(trains[first], axis=1), strict=True):
                found.setdefault(key.tobytes(), train.tobytes())
        visited += len(signs)
        on_visit(visited)
    unpack = lambda items: np.array([np.frombuffer(item, dtype=np.uint8) for item in items])  # noqa: E731
    return Patterns(unpack(found.keys()), unpack(found.values()))


def walk(decisions: Decisions, arranged: Arranged, signs: Signs) -> tuple[Bits, Bits]:
    """Follow every tree under sign vectors (k, M): columns (k, rows), and decisions (k, m * T) or (k, 2 * m * T)."""
    padded = np.concatenate([signs, np.zeros((len(signs), 1), dtype=np.int8)], axis=1)
    T, m = len(decisions.fire), decisions.n_sequences
    history = np.zeros((len(signs), m), dtype=np.int64)
    each, spikes, read = np.arange(m), [], []
    bit = lambda level, at: (  # noqa: E731
        np.take_along_axis(padded, arranged.plane[level][each, at], axis=1) * arranged.side[level][each, at] >= 0
    )
    for t in range(T):
        fired = bit(t, history)
        history = 2 * history + fired
        spikes.append(fired)
        if decisions.read:
            read.append(bit(T + t, history))
    shown = np.stack(read or spikes, axis=2)
    trains = np.concatenate([np.stack(bits, axis=2).reshape(len(signs), -1) for bits in (spikes, read) if bits], axis=1)
    return shown[:, decisions.sequence, decisions.step], trains


def _has_opposites(arranged: Arranged) -> bool:
    """Whether two decisions take opposite sides of one hyperplane: then both are 1 on it, as on neither side."""
    plane = np.concatenate([level.ravel() for level in arranged.plane])
    side = np.concatenate([level.ravel() for level in arranged.side])
    both = np.unique(np.stack([plane, side], axis=1)[plane < len(arranged.normals)], axis=0)
    return len(both) > len(np.unique(both[:, 0]))


def _width(decisions: Decisions) -> int:
    return max(len(decisions.sequence), decisions.n_sequences * (len(decisions.fire) + len(decisions.read)))


def _as_keys(packed: NDArray[np.uint8]) -> NDArray[np.void]:
    return np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()


def trains_of(decisions: Decisions, train: NDArray[np.uint8]) -> Iterator[tuple[Floats, Bits]]:
    """The forms met along a packed spike train and their decisions: (m, r) and (m,), level by level."""
    T, m, each = len(decisions.fire), decisions.n_sequences, np.arange(decisions.n_sequences)
    count = m * T * (2 if decisions.read else 1)
    bits = np.unpackbits(train, count=count).astype(bool)
    spikes = bits[: m * T].reshape(m, T)
    history = np.zeros(m, dtype=np.int64)
    for t in range(T):
        yield decisions.fire[t][each, history], spikes[:, t]
        history = 2 * history + spikes[:, t]
        if decisions.read:
            yield decisions.read[t][each, history], bits[m * T :].reshape(m, T)[:, t]
