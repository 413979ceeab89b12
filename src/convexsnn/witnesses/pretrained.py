"""Pretrained witnesses: the hidden layers of a trained torch module, the paper's SG-CVX."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from convexsnn.checks import check_choice, check_integer, check_real
from convexsnn.network import DTYPES, Branch, Hidden, Layer, Readout
from convexsnn.neurons import LIF, RESETS, Reset


@dataclass(frozen=True)
class _Neurons:
    """What a spiking module does, in our terms: v- = leak v + gain * current."""

    leak: Any
    threshold: Any
    reset: Reset
    gain: float = 1.0
    recurrent: nn.Linear | None = None


def pretrained(
    module: nn.Module,
    *,
    layers: int | None = None,
    leak: float | None = None,
    threshold: float = 1.0,
    reset: Reset = "soft",
    readout: Readout = "spike",
    every_step: bool = False,
    dtype: str = "float64",
) -> Hidden:
    """The hidden layers of a torch module as one branch.

    Read in the order in which the module holds them: each `torch.nn.Linear` followed by a spiking neuron is a hidden
    layer, with its bias. Neurons known are snnTorch's `Leaky` and `RLeaky` (with `linear_features`) and SpikingJelly's
    `LIFNode` and `IFNode`; a last `Linear` without one is the output, which is left out. In a module without spiking
    neurons every `Linear` but the last is a hidden layer, of LIF neurons of the given leak, threshold and reset.
    Only weights are read, nothing is run. snnTorch fires on >, we on >=: exact ties differ.

    Parameters
    ----------
    module : torch.nn.Module
    layers : int, optional
        Keep only so many hidden layers: one fewer where the output neurons spike, too.
    leak : float, optional
        In [0, 1]. Of plain `Linear` layers, as are threshold and reset.
    threshold : float
    reset : {"soft", "hard", "none", "delayed"}
    readout : {"spike", "membrane", "analog"}
    every_step : bool
    dtype : {"float64", "float32"}

    Raises
    ------
    ValueError
        When the module holds parameters of another kind, a setting that we do not have, or too few layers.
    """
    check_choice("dtype", dtype, DTYPES)
    check_choice("reset", reset, RESETS)
    found = _hidden_layers(module)
    if not found:
        if leak is None:
            raise ValueError(
                "module holds no spiking neurons that we know: give leak (and threshold, reset) of its neurons"
            )
        given = _Neurons(check_real("leak", leak, 0.0, 1.0), check_real("threshold", threshold), reset)
        found = [(linear, given) for linear in _linears(module)[:-1]]
    if layers is not None:
        check_integer("layers", layers)
        if layers > len(found):
            raise ValueError(f"layers is {layers}, but module has {len(found)} hidden layers")
        found = found[:layers]
    if not found:
        raise ValueError("module has no hidden layer: it needs a Linear with neurons, or two Linears")
    stack = tuple(_layer(linear, neurons, DTYPES[dtype]) for linear, neurons in found)
    return Hidden(stack[0].n_in, (Branch(stack),), readout, every_step, DTYPES[dtype])


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [m for m in module.modules() if isinstance(m, nn.Linear)]


def _hidden_layers(module: nn.Module) -> list[tuple[nn.Linear, _Neurons]]:
    """Each Linear followed by a spiking neuron."""
    found, linear, inside = [], None, set()
    for name, part in module.named_modules():
        kind = type(part).__name__
        if part in inside:
            continue
        if isinstance(part, nn.Linear):
            linear = part
        elif kind in _READERS:
            if linear is None:
                raise ValueError(f"module: {name} ({kind}) does not follow a Linear layer of its own")
            found.append((linear, _READERS[kind](name, part)))
            inside.update(part.modules())
            linear = None
        elif next(part.parameters(recurse=False), None) is not None:
            raise ValueError(f"module: {name} ({kind}) has parameters that no layer of ours has; only Linear layers do")
    return found


def _leaky(name: str, part: Any) -> _Neurons:
    resets = {"subtract": "delayed" if getattr(part, "reset_delay", True) else None, "zero": "hard", "none": "none"}
    reset = resets.get(part.reset_mechanism)
    if reset is None:
        raise ValueError(
            f"module: {name} subtracts its threshold without delay, which snnTorch does again on what is left of the "
            "membrane; no neuron of ours does"
        )
    recurrent = getattr(part, "recurrent", None)
    if recurrent is not None and reset == "hard":
        raise ValueError(f"module: {name}, reset to zero with recurrence, zeroes its input too; no neuron of ours does")
    if recurrent is not None and not isinstance(recurrent, nn.Linear):
        raise ValueError(f"module: {name} has recurrence that is not all to all; give it linear_features")
    return _Neurons(part.beta.detach().clamp(0.0, 1.0), part.threshold, cast(Reset, reset), recurrent=recurrent)


def _lif_node(name: str, part: Any) -> _Neurons:
    gain = 1.0 / part.tau if part.decay_input else 1.0
    return replace(_if_node(name, part), leak=1.0 - 1.0 / part.tau, gain=gain)


def _if_node(name: str, part: Any) -> _Neurons:
    if part.v_reset not in (None, 0.0):
        raise ValueError(f"module: {name} resets to {part.v_reset}; neurons of ours reset to 0 or by subtraction")
    return _Neurons(1.0, part.v_threshold, "soft" if part.v_reset is None else "hard")


_READERS = {"Leaky": _leaky, "RLeaky": _leaky, "LIFNode": _lif_node, "IFNode": _if_node}


def _layer(linear: nn.Linear, neurons: _Neurons, dtype: torch.dtype) -> Layer:
    plain = lambda tensor: tensor.detach().to("cpu", dtype, copy=True)  # noqa: E731
    m, gain = linear.out_features, neurons.gain
    bias = None if linear.bias is None else plain(linear.bias)
    recurrent = None
    if neurons.recurrent is not None:
        recurrent = plain(neurons.recurrent.weight).T.contiguous()
        if neurons.recurrent.bias is not None:
            # It is added with the spikes of the step before, at every step, whether any fired or not.
            bias = plain(neurons.recurrent.bias) if bias is None else bias + plain(neurons.recurrent.bias)
    setting = lambda value: _per_neuron(value, m, dtype)  # noqa: E731
    neuron = LIF(setting(neurons.leak), setting(neurons.threshold), neurons.reset)
    weight = plain(linear.weight).T.contiguous() * gain
    return Layer(weight, neuron, recurrent, None if bias is None else bias * gain)


def _per_neuron(value: Any, m: int, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(value).detach().to("cpu", dtype).flatten().expand(m).clone()
