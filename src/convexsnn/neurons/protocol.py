"""What a neuron kind is: the vocabulary of every file in this folder (theory.md section 1).

A kind is a frozen dataclass that derives from `Neuron`. Its fields that are tensors have one value a neuron; its other
fields are settings that all neurons of the layer share, such as the reset. It has a `name`, says how many tensors its
state has, and makes one pure `step`. From these alone all else follows: taking some of the neurons, moving them to
another device, comparing them, writing them to files and reading them back.

To add a kind: a file in this folder, and an entry in `NEURONS`. The simulator, the dictionary, training on a given
`Hidden`, files, costs and predictions then take it. Everything that knows the equations of a neuron, such as exports,
bounds and surrogate gradients, takes the kinds it names and refuses others by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

NeuronState = tuple[Tensor, ...]
"""What neurons carry from one step to the next: float tensors of shape (n, m), of which the first is the membrane."""


class Fired(NamedTuple):
    """What neurons did in one step.

    Attributes
    ----------
    spikes : bool tensor of the shape of the current
    state : NeuronState
        What is kept for the next step, after the reset. The membrane comes first.
    distance : float tensor of the shape of the current
        Potential before reset minus threshold: fires where it is >= 0; its size is the spike margin.
    """

    spikes: Tensor
    state: NeuronState
    distance: Tensor

    @property
    def membrane(self) -> Tensor:
        """The potential kept for the next step, after reset."""
        return self.state[0]


@dataclass(frozen=True, eq=False)
class Neuron(ABC):
    """A layer's neurons: frozen settings and one pure step; see the module."""

    name: ClassVar[str]
    """Of the kind, in files, messages and `NEURONS`."""

    def initial_state(self, zeros: Tensor) -> NeuronState:
        """The state before the first step; `zeros` has shape (n, m), and the dtype and device of the network."""
        return (zeros,)

    @abstractmethod
    def step(self, current: Tensor, state: NeuronState) -> Fired:
        """One time step.

        All operations are elementwise in the dtype of the network and broadcast over any leading dimensions. A neuron
        fires when its potential *reaches* its threshold (>=), so exact ties fire.

        Parameters
        ----------
        current : float tensor of shape (n, m)
            I = W_in h_below (+ W_rec s_previous) + b of this step.
        state : NeuronState
            The state that the step before left; it is not changed.
        """

    def tensors(self) -> dict[str, Tensor]:
        """The fields that have one value a neuron, float tensors of shape (m,), by name."""
        return {name: value for name, value in self._fields().items() if isinstance(value, Tensor)}

    def settings(self) -> dict[str, Any]:
        """The fields that all neurons share, as JSON has them, by name."""
        return {name: value for name, value in self._fields().items() if not isinstance(value, Tensor)}

    @classmethod
    def rebuild(cls, settings: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        """Inverse of `settings` and `tensors`; KeyError for a tensor that is missing, ValueError for what is unknown.

        Of `tensors` those are taken that are fields of the kind.
        """
        known = [field.name for field in fields(cls)]
        if not set(settings) <= set(known):
            raise ValueError(f"neurons of kind {cls.name!r} have no setting {sorted(set(settings) - set(known))}")
        own: dict[str, Any] = {name: settings[name] if name in settings else tensors[name] for name in known}
        return cls(**own)

    def equals(self, other: Neuron) -> bool:
        """Whether `other` is of the same kind and has exactly the same settings and tensors."""
        if type(self) is not type(other) or self.settings() != other.settings():
            return False
        mine, theirs = self.tensors(), other.tensors()
        return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)

    def take(self, index: Tensor) -> Self:
        """The neurons named by `index`."""
        return self._map(lambda tensor: tensor[index])

    def to(self, device: torch.device | str) -> Self:
        """The same neurons on `device`."""
        return self._map(lambda tensor: tensor.to(device))

    def _map(self, function) -> Self:
        changed: dict[str, Any] = {name: function(tensor) for name, tensor in self.tensors().items()}
        return replace(self, **changed)

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def check_leak(name: str, leak: Tensor) -> None:
    """ValueError unless the factors by which something is kept lie in [0, 1]."""
    if not bool(((leak >= 0) & (leak <= 1)).all()):
        raise ValueError(f"{name} must lie in [0, 1] for every neuron")


def check_values(name: str, values: Tensor) -> None:
    """ValueError where a value is NaN or infinite."""
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"{name} must be finite for every neuron")
