"""Spiking and threshold neurons: frozen settings and one pure step each (theory.md section 1).

A step maps the input current of one time step, I = W_in h_below (+ W_rec s_previous) + b, and the membrane left by the
step before, to a `Fired`. All operations are elementwise in the dtype of the network and broadcast over any leading
dimensions; a neuron fires when its potential *reaches* its threshold (>=), so exact ties fire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

Reset = Literal["soft", "hard", "none", "delayed"]
RESETS: tuple[str, ...] = get_args(Reset)


class Fired(NamedTuple):
    """What a neuron did in one step; all of the shape of the current.

    Attributes
    ----------
    spikes : bool tensor
    membrane : float tensor
        The potential kept for the next step, after reset.
    distance : float tensor
        Potential before reset minus threshold: fires where it is >= 0; its size is the spike margin.
    """

    spikes: Tensor
    membrane: Tensor
    distance: Tensor


@dataclass(frozen=True, eq=False)
class LIF:
    """Leaky integrate-and-fire: v- = leak * v + I; s = 1[v- >= threshold]; then v is reset.

    Attributes
    ----------
    leak : float tensor of shape (m,)
        Factor in [0, 1] by which the membrane is kept from one step to the next.
    threshold : float tensor of shape (m,)
        theta.
    reset : {"soft", "hard", "none", "delayed"}
        v = v- - threshold * s; v = (1 - s) * v-; or v = v-. "delayed" keeps v = v- and subtracts the threshold, not
        multiplied by leak, in the step after: v- = leak * v + I - threshold * 1[v >= threshold]. That is snnTorch's
        `Leaky` as it comes (reset "subtract", reset_delay=True), apart from exact ties, where snnTorch does not fire.
    """

    leak: Tensor
    threshold: Tensor
    reset: Reset = "soft"

    def __post_init__(self) -> None:
        if self.reset not in RESETS:
            raise ValueError(f"reset must be one of {', '.join(map(repr, RESETS))}, got {self.reset!r}")
        if not bool(((self.leak >= 0) & (self.leak <= 1)).all()):
            raise ValueError("leak must lie in [0, 1] for every neuron")
        if not bool(torch.isfinite(self.threshold).all()):
            raise ValueError("threshold must be finite for every neuron")

    def step(self, current: Tensor, membrane: Tensor) -> Fired:
        """One time step; see the class."""
        potential = self.leak * membrane + current
        if self.reset == "delayed":
            potential = torch.where(membrane >= self.threshold, potential - self.threshold, potential)
        distance = potential - self.threshold
        spikes = potential >= self.threshold
        if self.reset == "soft":
            membrane = torch.where(spikes, distance, potential)
        elif self.reset == "hard":
            membrane = potential.masked_fill(spikes, 0.0)
        else:
            membrane = potential
        return Fired(spikes, membrane, distance)

    def take(self, index: Tensor) -> LIF:
        """The settings of the neurons named by `index`."""
        return LIF(self.leak[index], self.threshold[index], self.reset)

    def to(self, device: torch.device | str) -> LIF:
        """The same settings on `device`."""
        return LIF(self.leak.to(device), self.threshold.to(device), self.reset)


@dataclass(frozen=True)
class Threshold:
    """Memoryless threshold unit: s = 1[I >= 0]. With recurrent weights, a recurrent threshold network."""

    def step(self, current: Tensor, membrane: Tensor) -> Fired:  # noqa: ARG002 - it has no memory
        """One time step; the "membrane" is the current itself."""
        return Fired(current >= 0, current, current)

    def take(self, index: Tensor) -> Threshold:  # noqa: ARG002 - it has no per-neuron settings
        """The settings of the neurons named by `index`."""
        return self

    def to(self, device: torch.device | str) -> Threshold:  # noqa: ARG002
        """The same settings on `device`."""
        return self


Neuron = LIF | Threshold


def lif(m: int, leak: float, threshold: float, reset: Reset, dtype: torch.dtype = torch.float64) -> LIF:
    """`m` equal LIF neurons."""
    return LIF(torch.full((m,), leak, dtype=dtype), torch.full((m,), threshold, dtype=dtype), reset)
