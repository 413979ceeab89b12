"""Neurons of snnTorch and SpikingJelly in our terms, or a refusal that says what of them we do not have.

A neuron is read only when every attribute of it is known: those that we express, those that must have the value at
which they change nothing, and those that change no spike. An attribute that is not on a list, such as a newer version
of the library may bring, is a refusal, as it may change the dynamics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from convexsnn.neurons import Reset


@dataclass(frozen=True)
class ForeignNeurons:
    """What a spiking module does, in our terms: v- = leak v + gain * current."""

    leak: Any
    threshold: Any
    reset: Reset
    gain: float = 1.0
    recurrent: nn.Linear | None = None


@dataclass(frozen=True)
class _Kind:
    """What is known of a module's attributes.

    Attributes
    ----------
    read : callable (name of the module, module) -> ForeignNeurons
    expressed : names of attributes that `read` looks at
    fixed : attributes that must have a value, and that value
    idle : names of attributes that change no spike
    """

    read: Callable[[str, Any], ForeignNeurons]
    expressed: tuple[str, ...]
    fixed: dict[str, Any]
    idle: tuple[str, ...]


def foreign_kind(part: nn.Module) -> _Kind | None:
    """What is known of this module as neurons; None where it is none that we know. Subclasses are not their parents."""
    return _KINDS.get((type(part).__module__.partition(".")[0], type(part).__name__))


def read_neurons(name: str, part: nn.Module) -> ForeignNeurons:
    """The neurons of a module of a known kind; ValueError, naming the attribute, for what no neuron of ours does."""
    kind = foreign_kind(part)
    assert kind is not None
    held = {**vars(part), **part._parameters, **part._buffers, **part._modules}
    for attribute in sorted(held.keys() - vars(nn.Module()).keys()):
        value = held[attribute]
        if attribute in kind.fixed:
            wanted = kind.fixed[attribute]
            if not (bool((value == wanted).all()) if isinstance(value, Tensor) else value == wanted):
                raise ValueError(f"module: {name} has {attribute} = {_plain(value)}; only {wanted} is a neuron of ours")
        elif attribute not in kind.expressed and attribute not in kind.idle:
            raise ValueError(
                f"module: {name} ({type(part).__name__}) has {attribute}, of which it is not known whether it changes "
                "its spikes"
            )
    return kind.read(name, part)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value


_LEAKY_STEPS = {"subtract": "_base_sub", "zero": "_base_zero", "none": "_base_int"}


def _leaky(name: str, part: Any) -> ForeignNeurons:
    _check_fires(name, part.spike_grad, ties=False)
    mechanism, recurrent = part.reset_mechanism, getattr(part, "recurrent", None)
    if getattr(part.state_function, "__name__", None) != _LEAKY_STEPS.get(mechanism):
        raise ValueError(f"module: {name} runs another reset than its reset_mechanism {mechanism!r} says")
    if recurrent is not None and type(recurrent) is not nn.Linear:
        raise ValueError(f"module: {name} has recurrence that is not all to all; give it linear_features")
    return ForeignNeurons(part.beta.detach().clamp(0.0, 1.0), part.threshold, _leaky_reset(name, part), 1.0, recurrent)


def _leaky_reset(name: str, part: Any) -> Reset:
    match part.reset_mechanism:
        case "none":
            return "none"
        case "subtract" if part.reset_delay:
            return "delayed"
        case "subtract":
            raise ValueError(
                f"module: {name} subtracts its threshold without delay, which snnTorch does again on what is left of "
                "the membrane; no neuron of ours does"
            )
        case "zero" if hasattr(part, "recurrent"):
            raise ValueError(
                f"module: {name}, reset to zero with recurrence, zeroes its input too; no neuron of ours does"
            )
        case "zero" if not part.reset_delay and bool((part.threshold < 0.0).any()):
            raise ValueError(f"module: {name}, reset to zero without delay, must have thresholds of at least 0")
        case "zero":
            return "hard"
        case other:
            raise ValueError(f"module: {name} has reset_mechanism {other!r}, which no neuron of ours has")


def _lif_node(name: str, part: Any) -> ForeignNeurons:
    gain = 1.0 / part.tau if part.decay_input else 1.0
    return replace(_if_node(name, part), leak=1.0 - 1.0 / part.tau, gain=gain)


def _if_node(name: str, part: Any) -> ForeignNeurons:
    _check_fires(name, part.surrogate_function, ties=True)
    if part.v_reset not in (None, 0.0):
        raise ValueError(f"module: {name} resets to {part.v_reset}; neurons of ours reset to 0 or by subtraction")
    if part._memories_rv != {"v": 0.0}:
        raise ValueError(f"module: {name} begins from {part._memories_rv.get('v')}; neurons of ours begin from 0")
    return ForeignNeurons(1.0, part.v_threshold, "soft" if part.v_reset is None else "hard")


@torch.no_grad()
def _check_fires(name: str, function: Callable[[Tensor], Tensor], *, ties: bool) -> None:
    """Refuse a spike function that is not a step: where `ties`, at zero too."""
    distances = torch.tensor([-2.0, -0.25, 0.0, 0.25, 2.0])
    step = (distances >= 0.0) if ties else (distances > 0.0)
    if not torch.equal(function(distances).to(torch.float64), step.to(torch.float64)):
        raise ValueError(f"module: {name} has a spike function that gives other values than 0 and 1 of a step")


_SNNTORCH = {"inhibition": False, "state_quant": False, "graded_spikes_factor": 1.0}
_SNNTORCH_READ = ("beta", "threshold", "_reset_mechanism", "reset_mechanism_val", "reset_delay")
_SNNTORCH_READ += ("state_function", "spike_grad")
_SNNTORCH_IDLE = ("init_hidden", "output", "surrogate_disable", "mem", "reset")
_LINEAR_RECURRENCE = ("recurrent", "all_to_all", "linear_features", "kernel_size", "conv2d_channels", "V")
_JELLY = {"_neuron_precision": None}
_JELLY_READ = ("v_threshold", "v_reset", "_memories_rv", "surrogate_function")
_JELLY_IDLE = ("_memories", "_step_mode", "_backend", "detach_reset", "_store_v_seq", "v_seq", "lava_s_cale")

_KINDS = {
    ("snntorch", "Leaky"): _Kind(_leaky, _SNNTORCH_READ, _SNNTORCH, _SNNTORCH_IDLE),
    ("snntorch", "RLeaky"): _Kind(
        _leaky, _SNNTORCH_READ + _LINEAR_RECURRENCE, _SNNTORCH, (*_SNNTORCH_IDLE, "spk", "learn_recurrent")
    ),
    ("spikingjelly", "LIFNode"): _Kind(_lif_node, (*_JELLY_READ, "tau", "decay_input"), _JELLY, _JELLY_IDLE),
    ("spikingjelly", "IFNode"): _Kind(_if_node, _JELLY_READ, _JELLY, _JELLY_IDLE),
}
KNOWN = tuple(name for _, name in _KINDS)
"""Names of the modules that are read as neurons."""
