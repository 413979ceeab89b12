"""What a neuron decides as its leak moves: linear forms of its parameters, with polynomials of the leak as entries.

The leak is a base plus or minus x. A form has the r entries of x^0, those of x^1, and so on: each part is a form in
integers as those of `dynamics` are, in the same units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.family import NetworkFamily, Unit
from convexsnn.bounds.patterns.dynamics import Bits, Dynamics
from convexsnn.rationals import Integers


@dataclass(frozen=True, eq=False)
class MovingDynamics:
    """The steps of one unit on inputs; see `Dynamics`, whose methods these are.

    Attributes
    ----------
    unit : Unit
        Whose leak is free in a range.
    family : NetworkFamily
    base : {0, 1}
    still : Dynamics
        Those of the base.
    """

    unit: Unit
    family: NetworkFamily
    base: int
    still: Dynamics

    @classmethod
    def of(cls, unit: Unit, still: Dynamics, base: int) -> MovingDynamics:
        """The dynamics of leaks that move away from a base."""
        return cls(unit, still.family, base, still.with_leak(float(base)))

    @property
    def side(self) -> int:
        """1 where the leak is the base plus x, -1 where it is the base minus x."""
        return 1 if self.base == 0 else -1

    def leak_at(self, x: float) -> float:
        """The leak at x, rounded to a float."""
        return self.base + self.side * x

    def with_leak(self, leak: float) -> Dynamics:
        """The same neurons of one leak."""
        return self.still.with_leak(leak)

    @property
    def moves(self) -> bool:
        """Whether forms move with the leak."""
        return True

    @property
    def length(self) -> int:
        """Coefficients of each entry: the first potential has one, and each step adds one."""
        return self.still.values.shape[1]

    @property
    def n_parameters(self) -> int:
        """r, the entries of each part of a form."""
        return self.still.n_parameters

    @property
    def theta(self) -> int | None:
        """See `Dynamics`."""
        return self.still.theta

    @property
    def exponents(self) -> NDArray[np.int64]:
        """See `Dynamics`."""
        return self.still.exponents

    def start(self, histories: tuple[int, ...] = ()) -> Integers:
        """See `Dynamics`."""
        return np.zeros((*histories, self.length * self.n_parameters), dtype=object)

    def potential(self, x: Integers, membrane: Integers, spiked: Bits | bool, t: int) -> Integers:
        """See `Dynamics`."""
        parts = self._parts(membrane)
        moved = self.base * parts
        moved[..., 1:, :] += self.side * parts[..., :-1, :]
        moved[..., 0, :] = self.still.potential(x, parts[..., 0, :], spiked, t)
        return moved.reshape(membrane.shape)

    def firing(self, potential: Integers, t: int) -> Integers:
        """See `Dynamics`."""
        return self._with_first(potential, self.still.firing(self._parts(potential)[..., 0, :], t))

    def after(self, potential: Integers, t: int, *, spike: bool) -> Integers:
        """See `Dynamics`."""
        if spike and self.unit.after_spike == "zero":
            return np.zeros_like(potential)
        return self._with_first(potential, self.still.after(self._parts(potential)[..., 0, :], t, spike=spike))

    def shown(self, membrane: Integers, t: int) -> Integers:
        """See `Dynamics`."""
        return self._with_first(membrane, self.still.shown(self._parts(membrane)[..., 0, :], t))

    def _parts(self, forms: Integers) -> Integers:
        return forms.reshape(*forms.shape[:-1], self.length, self.n_parameters)

    def _with_first(self, forms: Integers, first: Integers) -> Integers:
        parts = self._parts(forms).copy()
        parts[..., 0, :] = first
        return parts.reshape(forms.shape)
