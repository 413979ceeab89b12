"""What a neuron decides as its leak moves away from a value, as linear forms of its parameters over polynomials.

The leak is that of the dynamics given, plus or minus x. A form is kept as its coefficients, those of x^0 first: each is
a form in integers as in `dynamics`, in the same units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from convexsnn.bounds.patterns.dynamics import Bits, Dynamics
from convexsnn.rationals import Integers


@dataclass(frozen=True, eq=False)
class MovingDynamics:
    """The steps of one unit on inputs, as forms of p over polynomials in x.

    Attributes
    ----------
    still : Dynamics
        Those at x = 0.
    side : {1, -1}
        The leak is `still`'s plus side * x.
    length : int
        Coefficients of each polynomial: at least the number of steps.
    """

    still: Dynamics
    side: int
    length: int

    @property
    def n_parameters(self) -> int:
        """Entries of a form: r for each coefficient."""
        return self.length * self.still.n_parameters

    def start(self, histories: tuple[int, ...] = ()) -> Integers:
        return np.zeros((*histories, self.n_parameters), dtype=object)

    def potential(self, x: Integers, membrane: Integers, spiked: Bits | bool, t: int) -> Integers:
        parts = self._parts(membrane)
        moved = np.zeros_like(parts)
        moved[..., 1:, :] = self.side * (parts[..., :-1, :] << self.still.leak_shift)
        moved[..., 1:, :] += self.still.leak * parts[..., 1:, :]
        moved[..., 0, :] = self.still.potential(x, parts[..., 0, :], spiked, t)
        return moved.reshape(membrane.shape)

    def firing(self, potential: Integers, t: int) -> Integers:
        return self._with_first(potential, self.still.firing(self._parts(potential)[..., 0, :], t))

    def after(self, potential: Integers, t: int, *, spike: bool) -> Integers:
        first = self.still.after(self._parts(potential)[..., 0, :], t, spike=spike)
        if spike and self.still.unit.after_spike == "zero":
            return np.zeros_like(potential)
        return self._with_first(potential, first)

    def shown(self, membrane: Integers, t: int) -> Integers:
        return self._with_first(membrane, self.still.shown(self._parts(membrane)[..., 0, :], t))

    def _parts(self, forms: Integers) -> Integers:
        return forms.reshape(*forms.shape[:-1], self.length, self.still.n_parameters)

    def _with_first(self, forms: Integers, first: Integers) -> Integers:
        parts = self._parts(forms).copy()
        parts[..., 0, :] = first
        return parts.reshape(forms.shape)
