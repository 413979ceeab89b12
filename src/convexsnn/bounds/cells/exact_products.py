"""Forms that move with the leak on rays that do, as polynomials of integers, where float64 does not tell."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.cells.cones import Cones
from convexsnn.bounds.cells.moving import moving_products
from convexsnn.bounds.cells.roots import Root, inner_sign
from convexsnn.bounds.cells.states import Line, States
from convexsnn.rationals.polynomials import Polynomial, add, multiply, reduced

Vector = tuple[Polynomial, ...]


class ExactProducts:
    """Products of forms and rays; rays that compiled code has as integers are taken from there."""

    def __init__(self, states: States) -> None:
        self._states = states
        self._rays: dict[tuple[tuple[int, ...], Polynomial], Vector] = {}

    def of(
        self,
        cones: Cones,
        span: NDArray[np.float64],
        state: NDArray[np.int64],
        rays: NDArray[np.int64],
        at: dict[int, Root],
    ) -> list[tuple[int, Polynomial]]:
        """The region of each of some rays, and the product of the form of its state with it, up to a positive factor.

        `at` has the root of each region that is of a single leak.
        """
        region = np.searchsorted(cones.rays, rays, side="right") - 1
        rows = moving_products(cones, self._states.table(), state[region], rays, self._states.r)
        found = []
        for i, b, row in zip(rays.tolist(), region.tolist(), rows.tolist(), strict=True):
            if row.pop() == 0.0:
                p = reduced(tuple(map(int, row)))
            else:
                p = self._product(cones, span[b].tolist(), i, b, int(state[b]), at.get(b))
            found.append((b, p))
        return found

    def _product(self, cones: Cones, span: list[float], i: int, b: int, state: int, root: Root | None) -> Polynomial:
        numbers = self._states.line
        codes = cones.facet[cones.facets[b] : cones.facets[b + 1]].tolist()
        held = [bool(int(cones.zeros[i]) >> k & 1) for k in range(len(codes))]
        ray = self._ray(
            tuple(sorted({abs(int(numbers[c >> 1])) for c, on in zip(codes, held, strict=True) if on})), root
        )
        product = self._dot(int(numbers[state]), ray)
        if not product:
            return ()
        for code, on in zip(codes, held, strict=True):
            if not on:
                side = inner_sign(self._dot(int(numbers[code >> 1]), ray), span[2], span[3], root)
                if side:
                    return tuple(-entry for entry in product) if (side < 0) != bool(code & 1) else product
        raise AssertionError("a ray of a pointed cone is on some side of one of its facets")

    def _dot(self, number: int, ray: Vector) -> Polynomial:
        total: Polynomial = ()
        for entry, own in zip(_vector(self._states.lines[abs(number) - 1], self._states.r), ray, strict=True):
            total = add(total, multiply(entry, own), 1 if number > 0 else -1)
        return reduced(total)

    def _ray(self, held: tuple[int, ...], root: Root | None) -> Vector:
        """The line on which all of these forms are 0: that of as many independent ones among them as there must be."""
        key = (held, root.m if root is not None else ())
        if key not in self._rays:
            r = self._states.r
            forms = [_vector(self._states.lines[k - 1], r) for k in held]
            for chosen in itertools.combinations(forms, r - 1):
                ray = _cofactors(chosen, r)
                if any(map(any, ray)) and not (root is not None and all(root.is_of(p) for p in ray)):
                    self._rays[key] = ray
                    break
            else:
                raise AssertionError("a ray lies on as many independent forms as make a line")
        return self._rays[key]


def _vector(line: Line, r: int) -> Vector:
    return tuple(line[j::r] for j in range(r))


def _cofactors(rows: tuple[Vector, ...], r: int) -> Vector:
    """The vector whose product with a form is its determinant with the rows, up to the sign of all of it."""
    minors: dict[tuple[int, ...], Polynomial] = {(): (1,)}
    for k, row in enumerate(rows, start=1):
        larger = {}
        for columns in itertools.combinations(range(r), k):
            total: Polynomial = ()
            for place, j in enumerate(columns):
                rest = columns[:place] + columns[place + 1 :]
                total = add(total, multiply(row[j], minors[rest]), (-1) ** place)
            larger[columns] = total
        minors = larger
    every = tuple(range(r))
    return tuple(_signed(minors[every[:j] + every[j + 1 :]], j) for j in range(r))


def _signed(p: Polynomial, j: int) -> Polynomial:
    """(-1)^j p."""
    return p if j % 2 == 0 else tuple(-entry for entry in p)
