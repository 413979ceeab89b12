"""Signs that float64 does not tell, from integers: rays as solutions of the forms that are 0 on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.cells.cones import Cones
from convexsnn.bounds.cells.states import Line, States
from convexsnn.rationals import kernel_lattice


class ExactSigns:
    """Signs of forms on rays, each computed once."""

    def __init__(self, states: States) -> None:
        self._states = states
        self._rays: dict[tuple[int, ...], Line] = {}
        self.asked = 0

    def fill(self, cones: Cones, state: NDArray[np.int64], signs: NDArray[np.int8]) -> None:
        """Put the sign in wherever `signs` is 2."""
        doubtful = np.flatnonzero(signs == 2)
        self.asked += len(doubtful)
        region = np.searchsorted(cones.rays, doubtful, side="right") - 1
        for i, b in zip(doubtful.tolist(), region.tolist(), strict=True):
            signs[i] = self._sign(cones, i, b, int(self._states.line[state[b]]))

    def _sign(self, cones: Cones, i: int, b: int, line: int) -> int:
        lines = self._states.lines
        facets = cones.facet[cones.facets[b] : cones.facets[b + 1]].tolist()
        zeros = int(cones.zeros[i])
        numbers = [int(self._states.line[code >> 1]) for code in facets]
        held = sorted({abs(number) for k, number in enumerate(numbers) if zeros >> k & 1})
        if abs(line) in held:
            return 0
        ray = self._ray(tuple(held))
        value = _dot(lines[abs(line) - 1], ray)
        if value == 0:
            return 0
        for k, (code, number) in enumerate(zip(facets, numbers, strict=True)):
            if not zeros >> k & 1:
                side = _dot(lines[abs(number) - 1], ray) * (1 if number > 0 else -1) * (-1 if code & 1 else 1)
                break
        else:
            raise AssertionError("a ray of a pointed cone is on some side of one of its facets")
        return 1 if (value > 0) == ((side > 0) == (line > 0)) else -1

    def _ray(self, held: tuple[int, ...]) -> Line:
        """The line on which all of these forms are 0."""
        if held not in self._rays:
            lines = [self._states.lines[k - 1] for k in held]
            if self._states.r == 3:
                (a, b, c), (d, e, f) = lines[:2]
                ray = (b * f - c * e, c * d - a * f, a * e - b * d)
            else:
                rows = np.array(lines, dtype=object).reshape(len(lines), self._states.r)
                lattice = kernel_lattice(rows)
                assert lattice.shape[1] == 1
                ray = tuple(lattice[:, 0].tolist())
            self._rays[held] = ray
        return self._rays[held]


def _dot(form: Line, ray: Line) -> int:
    return sum(map(int.__mul__, form, ray))
