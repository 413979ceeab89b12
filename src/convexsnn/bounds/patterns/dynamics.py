"""What a neuron decides, as linear forms of its parameters in integers: the unrolled dynamics (theory.md section 1).

Given its own past spikes, the potential of a neuron is linear in p = (w, recurrent weight, bias, size of the threshold,
readout bias). Its coefficients are sums of products of inputs and powers of the leak. These are floats, so integers
times powers of two: a form is kept as integers, in units that change no sign. Nothing here rounds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convexsnn.bounds.family import NetworkFamily, Unit
from convexsnn.rationals import Floats, Integers, as_integers, with_shared_unit

Bits = NDArray[np.bool_]


def positions(unit: Unit, family: NetworkFamily) -> dict[str, int]:
    """Where the parameters of a unit beside its d weights are in p: those that it has, in order."""
    has = {"recurrent": unit.self_recurrent, "bias": unit.bias, "threshold": unit.has_threshold}
    has["readout_bias"] = unit.readout_bias
    return {name: family.n_features + k for k, name in enumerate(name for name in has if has[name])}


@dataclass(frozen=True, eq=False)
class Conditions:
    """What a neuron decides, and how: form @ p >= 0 where the bit is 1, and < 0 where it is 0.

    Attributes
    ----------
    forms : integer array of shape (k, r)
    shifts : int64 array of shape (k,)
        A form is that of a potential times 2**shift.
    bits : bool array of shape (k,)
    """

    forms: Integers
    shifts: NDArray[np.int64]
    bits: Bits


class Steps(Protocol):
    """The steps of one unit on inputs, of a leak that is fixed (`Dynamics`) or moves (`MovingDynamics`)."""

    @property
    def unit(self) -> Unit: ...
    @property
    def family(self) -> NetworkFamily: ...
    @property
    def exponents(self) -> NDArray[np.int64]: ...
    @property
    def moves(self) -> bool: ...
    @property
    def length(self) -> int: ...
    @property
    def n_parameters(self) -> int: ...
    @property
    def theta(self) -> int | None: ...
    def with_leak(self, leak: float) -> Dynamics: ...
    def start(self, histories: tuple[int, ...] = ()) -> Integers: ...
    def potential(self, x: Integers, membrane: Integers, spiked: Bits | bool, t: int) -> Integers: ...
    def firing(self, potential: Integers, t: int) -> Integers: ...
    def after(self, potential: Integers, t: int, *, spike: bool) -> Integers: ...
    def shown(self, membrane: Integers, t: int) -> Integers: ...


@dataclass(frozen=True, eq=False)
class Dynamics:
    """The steps of one unit on inputs, as forms of p.

    Forms after step t are in units of 2**-(leak_shift * t). Feature k of p is in units of its own: the weight is
    p_k * 2**-exponents[k].

    Attributes
    ----------
    unit : Unit
    family : NetworkFamily
    values : integer array of shape (m, T, d)
        The inputs: values * 2**exponents are the floats given.
    exponents : int64 array of shape (d,)
    at : dict of str to int
        Positions of the parameters beside the weights.
    leak : int
        The leak is leak * 2**-leak_shift.
    leak_shift : int
    """

    unit: Unit
    family: NetworkFamily
    values: Integers
    exponents: NDArray[np.int64]
    at: dict[str, int]
    leak: int
    leak_shift: int

    @classmethod
    def of(cls, unit: Unit, family: NetworkFamily, values: Floats) -> Dynamics:
        """The dynamics on inputs (m, T, d)."""
        integers, exponents = with_shared_unit(values)
        return cls(unit, family, integers, exponents, positions(unit, family), 0, 0).with_leak(unit.leak)

    def with_leak(self, leak: float) -> Dynamics:
        """The same neurons of another leak."""
        integer, exponent = as_integers(np.array([leak]))
        unit = replace(self.unit, leak=leak, leak_to=None)
        return replace(self, unit=unit, leak=integer[0], leak_shift=max(0, -exponent))

    @property
    def moves(self) -> bool:
        """Whether forms move with the leak."""
        return False

    @property
    def length(self) -> int:
        """Coefficients of each entry of a form: one, as the leak is fixed."""
        return 1

    @property
    def n_parameters(self) -> int:
        """r, the length of p."""
        return self.family.n_features + len(self.at)

    @property
    def theta(self) -> int | None:
        """The position of the size of the threshold, which is positive."""
        return self.at.get("threshold")

    def start(self, histories: tuple[int, ...] = ()) -> Integers:
        """The membrane before the first step, of shape (*histories, r)."""
        return np.zeros((*histories, self.n_parameters), dtype=object)

    def potential(self, x: Integers, membrane: Integers, spiked: Bits | bool, t: int) -> Integers:
        """The potential at step t (from 0) of inputs (..., d), for a membrane (..., r) and the spike before (...)."""
        unit_now = 1 << (self.leak_shift * t)
        current = np.zeros(membrane.shape, dtype=object)
        current[..., : self.family.n_features] = x
        if "recurrent" in self.at:
            current[..., self.at["recurrent"]] = _integer(spiked)
        if "bias" in self.at:
            current[..., self.at["bias"]] = 1
        if self.theta is not None and self.unit.reset == "delayed":
            late = spiked if t > 0 else self.unit.reset_at_first
            current[..., self.theta] = -self.unit.threshold_sign * _integer(late)
        return self.leak * membrane + unit_now * current

    def firing(self, potential: Integers, t: int) -> Integers:
        """The form that is >= 0 where the neuron fires at step t."""
        return self._less_threshold(potential, t)

    def after(self, potential: Integers, t: int, *, spike: bool) -> Integers:
        """The membrane after step t."""
        if not spike:
            return potential
        match self.unit.after_spike:
            case "keep":
                return potential
            case "subtract":
                return self._less_threshold(potential, t)
            case "zero":
                return np.zeros_like(potential)

    def shown(self, membrane: Integers, t: int) -> Integers:
        """The form that is >= 0 where the bit read from the membrane after step t is 1."""
        if "readout_bias" not in self.at:
            return membrane
        form = membrane.copy()
        form[..., self.at["readout_bias"]] -= 1 << (self.leak_shift * t)
        return form

    def in_floats(self, conditions: Conditions) -> Floats:
        """The forms as those of the network's own weights, of potentials in its own units: float64 (k, r)."""
        scales = [Fraction(2) ** int(e) for e in self.exponents] + [Fraction(1)] * len(self.at)
        return np.array(
            [
                [float(entry * scale / (1 << shift)) for entry, scale in zip(form, scales, strict=True)]
                for form, shift in zip(conditions.forms.tolist(), conditions.shifts.tolist(), strict=True)
            ]
        ).reshape(conditions.forms.shape)

    def parameters(self, p: Integers) -> Floats:
        """The floats nearest to p with weights in the units of the network, scaled to the unit's threshold, or about 1.

        Raises
        ------
        OverflowError
            When one is too large for a float.
        """
        units = [Fraction(2) ** -int(e) for e in self.exponents] + [Fraction(1)] * len(self.at)
        own = [entry * one for entry, one in zip(p.tolist(), units, strict=True)]
        if self.theta is not None:
            scale = Fraction(abs(self.unit.threshold)) / p[self.theta]
        else:  # a power of two, so that nothing is rounded by it
            scale = Fraction(2) ** -int(max(map(abs, own))).bit_length()
        return np.array([float(entry * scale) for entry in own])

    def _less_threshold(self, potential: Integers, t: int) -> Integers:
        if self.theta is None:
            return potential
        form = potential.copy()
        form[..., self.theta] -= self.unit.threshold_sign * (1 << (self.leak_shift * t))
        return form


def _integer(bits: Bits | bool) -> Any:
    return bits.astype(int).astype(object) if isinstance(bits, np.ndarray) else int(bits)
