"""Neurons of snnTorch in our terms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convexsnn.neurons import LIF, Alpha, Synaptic
from convexsnn.witnesses.foreign.kinds import ForeignKind, ForeignNeurons, check_fires

_STEPS = {"subtract": "_base_sub", "zero": "_base_zero", "none": "_base_int"}


def _leaky(name: str, part: Any) -> ForeignNeurons:
    mechanism, recurrent = _mechanism(name, part), _recurrent(name, part)
    match mechanism:
        case "none":
            reset = "none"
        case "subtract":
            _check_late(name, part)
            reset = "delayed"
        case "zero" if recurrent is not None:
            raise ValueError(
                f"module: {name}, reset to zero with recurrence, zeroes its input too; no LIF neuron of convexsnn does"
            )
        case "zero":
            _check_positive(name, part)
            reset = "hard"
        case _:
            raise _unknown(name, mechanism)
    values = {"leak": part.beta.detach().clamp(0.0, 1.0), "threshold": part.threshold}
    return ForeignNeurons(LIF, values, {"reset": reset}, recurrent=recurrent)


def _lapicque(name: str, part: Any) -> ForeignNeurons:
    """A resistor and a capacitor: its `beta` is not what the membrane is multiplied by."""
    lost = part.time_step / (part.R * part.C)
    match mechanism := _mechanism(name, part):
        case "none":
            reset = "none"
        case "subtract":
            reset = "delayed"
        case "zero":
            raise ValueError(
                f"module: {name}, reset to zero, zeroes its input too; no LIF neuron of convexsnn does: take Leaky"
            )
        case _:
            raise _unknown(name, mechanism)
    gain = part.R * (1 / (part.R * part.C)) * part.time_step
    return ForeignNeurons(LIF, {"leak": 1 - lost, "threshold": part.threshold}, {"reset": reset}, gain)


def _synaptic(name: str, part: Any) -> ForeignNeurons:
    match mechanism := _mechanism(name, part):
        case "none":
            reset = "none"
        case "subtract":
            _check_late(name, part)
            reset = "delayed"
        case "zero" if part.reset_delay:
            reset = "refractory"
        case "zero" if hasattr(part, "recurrent"):
            raise ValueError(f"module: {name} resets without delay, which ends in an error in snnTorch 1.0.0")
        case "zero":
            _check_positive(name, part)
            reset = "hard"
        case _:
            raise _unknown(name, mechanism)
    values = {
        "leak": part.beta.detach().clamp(0.0, 1.0),
        "synapse_leak": part.alpha.detach().clamp(0.0, 1.0),
        "threshold": part.threshold,
    }
    return ForeignNeurons(Synaptic, values, {"reset": reset}, recurrent=_recurrent(name, part))


@torch.no_grad()
def _alpha(name: str, part: Any) -> ForeignNeurons:
    match mechanism := _mechanism(name, part):
        case "none":
            reset = "none"
        case "zero":
            reset = "refractory"
        case "subtract":
            raise ValueError(
                f"module: {name} subtracts its threshold from one of its two currents, which no neuron of "
                "convexsnn does: take reset_mechanism='zero' or 'none'"
            )
        case _:
            raise _unknown(name, mechanism)
    rise, fall = part.beta.clamp(0.0, 1.0), part.alpha.clamp(0.0, 1.0)
    values = {
        "excitation_leak": fall,
        "inhibition_leak": rise,
        "gain": torch.log(fall) / (torch.log(rise) - torch.log(fall)) + 1,  # as snnTorch has it
        "threshold": part.threshold,
    }
    return ForeignNeurons(Alpha, values, {"reset": reset})


def _mechanism(name: str, part: Any) -> str:
    """The name of the reset; ValueError where the module runs another one, or fires otherwise than by a step."""
    check_fires(name, part.spike_grad, ties=False)
    if getattr(part.state_function, "__name__", None) != _STEPS.get(part.reset_mechanism):
        raise ValueError(f"module: {name} runs another reset than its reset_mechanism {part.reset_mechanism!r} says")
    return part.reset_mechanism


def _recurrent(name: str, part: Any) -> nn.Linear | Tensor | None:
    recurrent = getattr(part, "recurrent", None)
    if recurrent is None or type(recurrent) is nn.Linear:
        return recurrent
    if type(recurrent).__name__ == "RecurrentOneToOne":
        return recurrent.V.detach()
    raise ValueError(f"module: {name} has recurrence that no layer of convexsnn has; give it linear_features")


def _check_late(name: str, part: Any) -> None:
    if not part.reset_delay:
        raise ValueError(
            f"module: {name} subtracts its threshold without delay, which snnTorch does a second time where "
            "the membrane is still high; no neuron of convexsnn does"
        )


def _check_positive(name: str, part: Any) -> None:
    if not part.reset_delay and bool((part.threshold < 0.0).any()):
        raise ValueError(f"module: {name}, reset to zero without delay, must have thresholds of at least 0")


def _unknown(name: str, mechanism: str) -> ValueError:
    return ValueError(f"module: {name} has reset_mechanism {mechanism!r}, which no neuron of convexsnn has")


def _begin(part: Any) -> None:
    part.init_hidden, part.output = True, False
    part.reset_mem()


_FIXED = {"inhibition": False, "state_quant": False, "graded_spikes_factor": 1.0}
_READ = ("beta", "threshold", "_reset_mechanism", "reset_mechanism_val", "state_function", "spike_grad")
_IDLE = ("init_hidden", "output", "surrogate_disable", "mem", "reset")
_RECURRENCE = ("recurrent", "all_to_all", "linear_features", "kernel_size", "conv2d_channels", "V")
_CIRCUIT = tuple(name for name in _READ if name != "beta")

KINDS = {
    "Leaky": ForeignKind(_leaky, (*_READ, "reset_delay"), _FIXED, _IDLE, _begin),
    "RLeaky": ForeignKind(
        _leaky, (*_READ, *_RECURRENCE, "reset_delay"), _FIXED, (*_IDLE, "spk", "learn_recurrent"), _begin
    ),
    "Lapicque": ForeignKind(_lapicque, (*_CIRCUIT, "R", "C", "time_step"), _FIXED, (*_IDLE, "beta"), _begin),
    "Synaptic": ForeignKind(_synaptic, (*_READ, "alpha", "reset_delay"), _FIXED, (*_IDLE, "syn"), _begin),
    "RSynaptic": ForeignKind(
        _synaptic,
        (*_READ, *_RECURRENCE, "alpha", "reset_delay"),
        _FIXED,
        (*_IDLE, "syn", "spk", "learn_recurrent"),
        _begin,
    ),
    "Alpha": ForeignKind(_alpha, (*_READ, "alpha"), _FIXED, (*_IDLE, "syn_exc", "syn_inh"), _begin),
}
