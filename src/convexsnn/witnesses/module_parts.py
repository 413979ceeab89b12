"""The parts of a torch module: what of it computes something, in the order in which it is held."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import parametrize

from convexsnn.notices import warn

# Without effect on sequences of vectors, once a module is trained.
NEUTRAL = ("Flatten", "Identity", "Dropout", "AlphaDropout", "FeatureAlphaDropout")


def parts_of(part: nn.Module, name: str = "") -> list[tuple[str, nn.Module]]:
    """The parts that do something, by name, in the order in which they are held; one held twice is there twice."""
    if part._forward_hooks or part._forward_pre_hooks:
        raise ValueError(f"module: {_of(name, part)} has hooks, which may change what it computes: remove them")
    children = [(key, child) for key, child in part._modules.items() if child is not None]
    if _is_neuron(part) or is_linear(part) or not children:
        return [] if _is_neutral(part) else [(_of(name, part), part)]
    if own := [*part._parameters, *part._buffers]:
        raise ValueError(f"module: {_of(name, part)} has {own} of its own, which no layer of convexsnn has")
    return [found for key, child in children for found in parts_of(child, f"{name}.{key}" if name else key)]


def check_real_tensors(parts: list[tuple[str, nn.Module]]) -> None:
    """ValueError where a part has a parameter or buffer that does not hold real numbers."""
    for name, part in parts:
        for own, tensor in [*part.named_parameters(), *part.named_buffers()]:
            if tensor.is_meta or tensor.is_complex() or tensor.layout != torch.strided:
                kind = "on the device meta" if tensor.is_meta else f"of {tensor.dtype}, {tensor.layout}"
                raise ValueError(f"module: {own} of {name} is {kind}: give it real numbers")


def warn_of_forward(module: nn.Module) -> None:
    """Say in which order parts are taken to run where a class of one's own decides on it."""
    for container in module.modules():
        in_order = type(container).forward in (nn.Sequential.forward, nn.Module.forward)  # the latter has none
        single = _is_neuron(container) or is_linear(container)
        if not in_order and not single and len(parts := parts_of(container)) > 1:
            warn(
                f"the forward of {type(container).__name__} is not looked at; its parts are taken to run in the order "
                f"{', '.join(name for name, _ in parts)}: pass nn.Sequential of its parts to say in which they run"
            )


def _is_neuron(part: nn.Module) -> bool:
    """Whether a part is a neuron of snnTorch or SpikingJelly, known to us or not."""
    bases = {base.__name__ for base in type(part).__mro__ if base.__module__.startswith(("snntorch.", "spikingjelly."))}
    return not bases.isdisjoint({"SpikingNeuron", "BaseNode"})


def _of(name: str, part: nn.Module) -> str:
    return f"{name or 'the whole'} ({type(part).__name__})"


def is_linear(part: nn.Module) -> bool:
    """Whether a part is a Linear of torch or SpikingJelly, with or without parametrizations."""
    kind = parametrize.type_before_parametrizations(part)
    return kind is nn.Linear or (kind.__module__.startswith("spikingjelly.") and kind.__name__ == "Linear")


def _is_neutral(part: nn.Module) -> bool:
    return type(part).__name__ in NEUTRAL and type(part).__module__.partition(".")[0] in ("torch", "spikingjelly")
