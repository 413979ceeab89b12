"""Which layer of a module is the readout, and which layer's spikes it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from convexsnn.polishing.layer import OutputLayer

# Classes, or bases of classes, whose modules spike: of snnTorch, SpikingJelly, Norse, and of our own exports.
SPIKING = {
    "SpikingNeuron",
    "BaseNode",
    "SimpleBaseNode",
    "SNN",
    "SNNCell",
    "SNNRecurrent",
    "SNNRecurrentCell",
    "LIFCell",
    "PlainCell",
}
# Integrators that derive from them and do not spike.
SILENT = {"NonSpikingBaseNode", "LI", "LICell", "LIBox", "LIBoxCell", "LILinearCell"}


class Parts(NamedTuple):
    """The readout and the layer that spikes before it, with their names in the module."""

    readout: OutputLayer
    readout_name: str
    spikes: nn.Module
    spikes_name: str


def find_parts(module: nn.Module, readout: str | nn.Module | None, spikes: str | nn.Module | None) -> Parts:
    """Find the readout and the last spiking layer, or check those that were named.

    Modules are taken in the order in which `module` holds them.

    Raises
    ------
    TypeError
        When `module` is not a torch module.
    ValueError
        When a named part is not in the module, there is no spiking layer, or several layers could be the readout. Also
        when the readout is neither an `nn.Linear` nor a 1 x 1 convolution, its weight is no parameter, or spiking
        neurons follow it. Its weights must be finite, and not those of another layer too.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, not {type(module).__name__}")
    names = {part: name for name, part in module.named_modules()}
    order = list(names)
    told_readout = None if readout is None else _told("readout", readout, module, names)
    told_spikes = None if spikes is None else _told("spikes", spikes, module, names)
    if told_readout is not None and OutputLayer.of(told_readout) is None:
        instead = _instead(told_readout, names)
        raise ValueError(
            f"readout {names[told_readout]!r} is a {type(told_readout).__name__}, which is not linear in weights that "
            f"we can solve for: it must be a torch.nn.Linear or a 1 x 1 convolution{f'. {instead}' if instead else ''}"
        )
    spiking = [part for part in order if is_spiking(part)]
    inside = {inner for part in spiking for inner in part.modules()}
    linear = [part for part in order if OutputLayer.of(part) is not None and part not in inside]
    last = told_readout or _last_readout(linear, spiking if told_spikes is None else [told_spikes], order, names)
    before = [part for part in spiking if order.index(part) < order.index(last)]
    if told_spikes is None and not before:
        raise ValueError(
            f"module has no spiking layer that we know before its readout {names[last]!r}: pass spikes=, the name "
            "of the layer whose output it reads"
        )
    source = told_spikes or before[-1]
    layer = OutputLayer.of(last)
    assert layer is not None
    if not {"weight", "bias"} <= last._parameters.keys():
        raise ValueError(
            f"readout {names[last]!r}: its weight is computed from other parameters (weight_norm and the like), so it "
            "cannot be set; remove that first, e.g. with torch.nn.utils.parametrize.remove_parametrizations"
        )
    _check_own_weights(layer, names)
    return Parts(layer, names[last], source, names[source])


def _check_own_weights(readout: OutputLayer, names: dict[nn.Module, str]) -> None:
    """ValueError where a weight of the readout is not finite, or is also a weight of another layer."""
    own = {name: value for name, value in (("weight", readout.weight), ("bias", readout.bias)) if value is not None}
    for name, value in own.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"readout {names[readout.layer]!r}: its {name} is not finite (NaN or infinity)")
    storages = {value.untyped_storage().data_ptr(): name for name, value in own.items()}
    for part, part_name in names.items():
        for other in [*part._parameters.values(), *part._buffers.values()]:
            if part is readout.layer or other is None:
                continue
            shared = storages.get(other.untyped_storage().data_ptr())
            if shared is not None:
                raise ValueError(
                    f"readout {names[readout.layer]!r} shares its {shared} with layer {part_name!r}, which would be "
                    "changed with it: give the readout weights of its own first, e.g. a clone"
                )


def _last_readout(
    linear: Sequence[nn.Module], spiking: list[nn.Module], order: list[nn.Module], names: dict[nn.Module, str]
) -> nn.Module:
    if not spiking:
        raise ValueError(
            "module has no spiking layer that we know: pass spikes= and readout=, names of two of its layers"
        )
    place = order.index
    after = [part for part in linear if place(part) > place(spiking[-1])]
    # Convolutions after the last neurons may be shortcuts of a block: a Linear, where there is one, is the readout.
    after = [part for part in after if isinstance(part, nn.Linear)] or after
    hints = [_instead(part, names) for part in order if place(part) > place(spiking[-1])]
    if not after and any(hints):
        raise ValueError(f"no torch.nn.Linear follows the last spiking layer. {next(filter(None, hints))}")
    if not linear:
        raise ValueError("module has no torch.nn.Linear that could be the readout")
    if not after:
        name, neurons = names[linear[-1]], names[spiking[-1]]
        reads = any(place(part) < place(linear[-1]) for part in spiking)
        raise ValueError(
            f"the last Linear, {name!r}, is followed by the spiking layer {neurons!r}: spikes are not linear in its "
            "weights. "
            + (
                f"Pass readout={name!r} and a run= that returns what it says at every step: their sum is linear"
                if reads
                else "It reads no spikes itself, so there is nothing to solve for: end the module in one more Linear"
            )
        )
    if len(after) > 1:
        found = ", ".join(repr(names[part]) for part in after)
        raise ValueError(f"several Linears follow the last spiking layer ({found}): pass readout=, the name of one")
    return after[0]


def _instead(part: nn.Module, names: dict[nn.Module, str]) -> str | None:
    """What to write instead of a readout that is no `nn.Linear`, though one would do the same."""
    if type(part).__name__ in ("LILinearCell", "LILinear"):
        return f"{names[part]!r} has its weights inside: write torch.nn.Linear and LICell instead"
    return None


def _told(argument: str, told: str | nn.Module, module: nn.Module, names: dict[nn.Module, str]) -> nn.Module:
    if isinstance(told, nn.Module):
        if told not in names:
            raise ValueError(f"{argument} must be a layer of module; the {type(told).__name__} given is not in it")
        return told
    parts = dict(module.named_modules())
    if told not in parts or not told:
        raise ValueError(f"{argument}: module has no layer named {told!r}; it has {', '.join(filter(None, parts))}")
    return parts[told]


def is_spiking(part: nn.Module) -> bool:
    """Whether a module is one of the spiking layers that we know, by the names of its class and its bases."""
    bases = {base.__name__ for base in type(part).__mro__}
    return bool(bases & SPIKING) and not bases & SILENT
