"""Pretrained witnesses: the hidden layers of a trained torch module, the paper's SG-CVX."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convexsnn.caller import isolated
from convexsnn.checks import check_choice, check_integer, check_real
from convexsnn.network import DTYPES, Branch, Hidden, Layer
from convexsnn.neurons import LIF, RESETS, Neuron, Reset
from convexsnn.readouts import Readout, as_readout
from convexsnn.witnesses.foreign import KNOWN, ForeignNeurons, foreign_kind, read_neurons
from convexsnn.witnesses.module_parts import NEUTRAL, check_real_tensors, is_linear, parts_of, warn_of_forward


@isolated
def pretrained(
    module: nn.Module,
    *,
    layers: int | None = None,
    leak: float | None = None,
    threshold: float = 1.0,
    reset: Reset = "soft",
    readout: str | Readout = "spike",
    every_step: bool = False,
    dtype: str = "float64",
) -> Hidden:
    """The hidden layers of a torch module as one branch.

    Read in the order in which the module holds them: each `torch.nn.Linear` followed by a spiking neuron is a hidden
    layer, with its bias. Neurons known are snnTorch's `Leaky`, `RLeaky`, `Lapicque`, `Synaptic`, `RSynaptic` and
    `Alpha`, and SpikingJelly's `LIFNode`, `IFNode` and `ParametricLIFNode`; a last `Linear` without one is the output,
    which is left out. Where neurons multiply their input (`Lapicque`, `decay_input`), the weights are multiplied
    instead, which rounds them. In a module without spiking neurons every `Linear` but the last is a hidden layer, of
    LIF neurons of the given leak, threshold and reset, which take the place of its activations. Between the layers
    nothing may stand but dropout, flattening and identities: everything else, and every setting of a neuron that is not
    known to be without effect, is refused by name. `fold_batch_norms` takes batch normalisations away. The module is
    not run: a class with a `forward` of its own is taken to run its parts in the order in which it holds them. snnTorch
    fires on >, we on >=: exact ties differ.

    Parameters
    ----------
    module : torch.nn.Module
    layers : int, optional
        Keep only so many hidden layers: one fewer where the output neurons spike, too.
    leak : float, optional
        The leak of plain `Linear` layers, in [0, 1]. Threshold and reset are for these too.
    threshold : float
    reset : {"soft", "hard", "none", "delayed"}
    readout : str or Readout
        A name, such as "spike", "membrane" or "analog", or a readout.
    every_step : bool
    dtype : {"float64", "float32"}

    Raises
    ------
    ValueError
        When the module holds a part or a setting that we do not have, or too few layers.

    Warns
    -----
    UserWarning
        When a class has a `forward` of its own: says in which order its parts are taken to run.
    """
    check_choice("dtype", dtype, DTYPES)
    check_choice("reset", reset, RESETS)
    parts = parts_of(module)
    check_real_tensors(parts)
    warn_of_forward(module)
    if any(foreign_kind(part) for _, part in parts):
        if leak is not None:
            raise ValueError("leak is that of plain Linear layers, but module has neurons of its own: leave it out")
        found = _spiking_layers(parts)
    else:
        found = _plain_layers(parts, leak, threshold, reset)
    if layers is not None:
        check_integer("layers", layers)
        if layers > len(found):
            raise ValueError(f"layers is {layers}, but module has {len(found)} hidden layers")
        found = found[:layers]
    if not found:
        raise ValueError("module has no hidden layer: it needs a Linear with neurons, or two Linears")
    stack = tuple(_layer(name, linear, neurons, DTYPES[dtype]) for name, linear, neurons in found)
    return Hidden(stack[0].n_in, (Branch(stack),), as_readout(readout), every_step, DTYPES[dtype])


_Found = tuple[str, nn.Linear, ForeignNeurons]


def output_layer(module: nn.Module) -> nn.Linear:
    """The last part of a module that `pretrained` reads; ValueError unless that is a Linear."""
    name, part = parts_of(module)[-1]
    if not isinstance(part, nn.Linear):
        raise ValueError(f"module ends in {name}: the output must be a Linear without anything after it")
    return part


def _spiking_layers(parts: list[tuple[str, nn.Module]]) -> list[_Found]:
    """Each Linear followed by a spiking neuron; ValueError for any part besides."""
    found: list[_Found] = []
    linear, seen = None, set()
    for name, part in parts:
        if foreign_kind(part) is not None:
            if linear is None or part in seen:
                raise ValueError(f"module: {name} does not follow a Linear layer of its own")
            found.append((*linear, read_neurons(name, part)))
            linear, seen = None, {*seen, part}
        elif not isinstance(part, nn.Linear) or not is_linear(part):
            raise _not_ours(name)
        elif linear is not None:
            raise ValueError(
                f"module: no neurons follow {linear[0]}, and {name} comes next; each but a last needs them"
            )
        else:
            linear = name, part
    return found


def _plain_layers(
    parts: list[tuple[str, nn.Module]], leak: float | None, threshold: float, reset: Reset
) -> list[_Found]:
    """All Linears but the last, with neurons of these settings in the place of activations."""
    linears = []
    for name, part in parts:
        if isinstance(part, nn.Linear) and is_linear(part):
            linears.append((name, part))
        elif type(part).__module__ != "torch.nn.modules.activation" or any(True for _ in part.parameters()):
            raise _not_ours(name)
    if leak is None:
        raise ValueError(
            f"module holds no spiking neurons that we know ({', '.join(KNOWN)}): give leak (and threshold, reset) of "
            "the neurons that take the place of its activations"
        )
    values = {"leak": check_real("leak", leak, 0.0, 1.0), "threshold": check_real("threshold", threshold)}
    given = ForeignNeurons(LIF, values, {"reset": reset})
    return [(name, linear, given) for name, linear in linears[:-1]]


def _not_ours(name: str) -> ValueError:
    if "BatchNorm1d" in name:
        return ValueError(f"module: {name} is not supported: pass fold_batch_norms(module, X) of convexsnn.witnesses")
    return ValueError(
        f"module: {name} is no part that we can express; known are Linear, the neurons {', '.join(KNOWN)}, and "
        f"{', '.join(NEUTRAL)}: pass only the part of the module that consists of these"
    )


def _layer(name: str, linear: nn.Linear, neurons: ForeignNeurons, dtype: torch.dtype) -> Layer:
    m, gain = linear.out_features, _plain(torch.as_tensor(neurons.gain), dtype)
    biases = [] if linear.bias is None else [_plain(linear.bias, dtype) * gain]
    match neurons.recurrent:
        case None:
            recurrent = None
        case nn.Linear():
            recurrent = _plain(neurons.recurrent.weight, dtype).T.contiguous()
            if neurons.recurrent.bias is not None:
                # It is added with the spikes of the step before, at every step, whether any fired or not.
                biases.append(_plain(neurons.recurrent.bias, dtype))
        case own:
            recurrent = torch.diag(_per_neuron(name, own, m, dtype))
    weight = _plain(linear.weight, dtype).T.contiguous() * gain
    return Layer(
        weight, _neuron(name, neurons, m, dtype), recurrent, torch.stack(biases).sum(dim=0) if biases else None
    )


def _neuron(name: str, neurons: ForeignNeurons, m: int, dtype: torch.dtype) -> Neuron:
    tensors = {field: _per_neuron(name, value, m, dtype) for field, value in neurons.values.items()}
    try:
        return neurons.kind.rebuild(neurons.settings, tensors)
    except ValueError as error:
        raise ValueError(f"module: the neurons after {name} are not supported: {error}") from error


def _per_neuron(name: str, value: Any, m: int, dtype: torch.dtype) -> Tensor:
    values = _plain(torch.as_tensor(value), dtype)
    if values.numel() != 1 and (values.numel() != m or values.shape[-1] != m):
        raise ValueError(
            f"module: the neurons after {name} hold leaks or thresholds of shape {tuple(values.shape)}, but there are "
            f"{m} of them"
        )
    return values.flatten().expand(m).clone()


def _plain(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to("cpu", dtype, copy=True)
