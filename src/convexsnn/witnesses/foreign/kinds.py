"""How a neuron of another library is read: by a list of what is known of its attributes.

A neuron is read only when every attribute of it is known: those that we express, those that must have the value at
which they change nothing, and those that change no spike. An attribute that is not on a list, such as a newer version
of the library may bring, is a refusal, as it may change the dynamics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from convexsnn.neurons import Neuron


@dataclass(frozen=True)
class ForeignNeurons:
    """What a spiking module does, in our terms.

    Attributes
    ----------
    kind : type of Neuron
    values : dict
        The tensors of our neurons by name: one value for all neurons, or one a neuron.
    settings : dict
        What all neurons share, by name.
    gain : float or Tensor
        Of what flows in from below.
    recurrent : nn.Linear, Tensor or None
        Recurrent weights: from each neuron to each, or from each neuron to itself (one value for all, or one each).
    """

    kind: type[Neuron]
    values: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    gain: Any = 1.0
    recurrent: nn.Linear | Tensor | None = None


@dataclass(frozen=True)
class ForeignKind:
    """What is known of a module's attributes.

    Attributes
    ----------
    read : callable (name of the module, module) -> ForeignNeurons
    expressed : names of attributes that `read` looks at
    fixed : attributes that must have a value, and that value
    idle : names of attributes that change no spike
    begin : callable (module) -> None
        Puts a copy of the module where it takes one step at a time, keeps its own state, and returns spikes alone.
    """

    read: Callable[[str, Any], ForeignNeurons]
    expressed: tuple[str, ...]
    fixed: dict[str, Any]
    idle: tuple[str, ...]
    begin: Callable[[Any], None]


def read_as(kind: ForeignKind, name: str, part: nn.Module) -> ForeignNeurons:
    """The neurons of a module of this kind; ValueError, naming the attribute, for what no neuron of convexsnn does."""
    held = {**vars(part), **part._parameters, **part._buffers, **part._modules}
    for attribute in sorted(held.keys() - vars(nn.Module()).keys()):
        value = held[attribute]
        if attribute in kind.fixed:
            wanted = kind.fixed[attribute]
            if not (bool((value == wanted).all()) if isinstance(value, Tensor) else value == wanted):
                raise ValueError(f"module: {name} has {attribute} = {_plain(value)}; only {wanted} is supported")
        elif attribute not in kind.expressed and attribute not in kind.idle:
            raise ValueError(
                f"module: {name} ({type(part).__name__}) has {attribute}, of which it is not known whether it changes "
                "its spikes"
            )
    return kind.read(name, part)


@torch.no_grad()
def check_fires(name: str, function: Callable[[Tensor], Tensor], *, ties: bool) -> None:
    """Refuse a spike function that is not a step: where `ties`, at zero too."""
    distances = torch.tensor([-2.0, -0.25, 0.0, 0.25, 2.0])
    step = (distances >= 0.0) if ties else (distances > 0.0)
    if not torch.equal(function(distances).to(torch.float64), step.to(torch.float64)):
        raise ValueError(f"module: {name} has a spike function that gives other values than 0 and 1 of a step")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value
