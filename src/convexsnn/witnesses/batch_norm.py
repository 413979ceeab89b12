"""Batch normalisation folded into the Linear before it, and a check that no spike changes by that."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from convexsnn.caller import isolated
from convexsnn.sequences import as_sequences
from convexsnn.witnesses.foreign import foreign_kind
from convexsnn.witnesses.module_parts import is_linear, parts_of


@isolated
@torch.no_grad()
def fold_batch_norms(module: nn.Module, X: Any) -> nn.Module:
    """A copy of a trained module whose `BatchNorm1d` are folded into the `Linear` before each, for `pretrained`.

    With the running mean and variance, batch normalisation after a Linear is a Linear with other weights. Its weights
    are rounded, so a potential within rounding of its threshold may end on the other side. Both modules are therefore
    run on `X`, layer by layer in the order in which the module holds its parts, and must spike alike.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed. Of Linears, batch normalisations and neurons that `pretrained` reads.
    X : array of shape (n, T, d)
        Sequences like those for which the spikes must be the same.

    Returns
    -------
    torch.nn.Module
        A new module with an identity in the place of each batch normalisation.

    Raises
    ------
    ValueError
        When a batch normalisation does not follow a Linear, or has no running statistics; when spikes differ: says how
        many of how many.
    """
    folded = copy.deepcopy(module)
    before, after = parts_of(module), parts_of(folded)
    for (name, norm), (_, linear) in zip(after[1:], after, strict=False):
        if _is_batch_norm(norm):
            _fold(name, norm, linear)
    if _is_batch_norm(after[0][1]):
        raise _not_after_linear(after[0][0])
    for parent in list(folded.modules()):
        for key, child in parent._modules.items():
            if child is not None and _is_batch_norm(child):
                parent._modules[key] = nn.Identity()
    values = as_sequences(X).values
    counts = [(a != b, len(a)) for a, b in zip(_spikes(before, values), _spikes(parts_of(folded), values), strict=True)]
    differ = sum(int(different.sum()) for different, _ in counts)
    if differ:
        total = sum(different.numel() for different, _ in counts)
        raise ValueError(
            f"module: {differ} of {total} spikes on X change when batch normalisation is folded into the Linear before "
            "it, as some potentials lie within rounding of their threshold: fold the module.double(), or other X"
        )
    return folded


def _is_batch_norm(part: nn.Module) -> bool:
    return type(part).__name__ == "BatchNorm1d" and type(part).__module__.partition(".")[0] in ("torch", "spikingjelly")


def _not_after_linear(name: str) -> ValueError:
    return ValueError(f"module: {name} does not follow a Linear: only there can batch normalisation be folded")


def _fold(name: str, norm: Any, linear: Any) -> None:
    if not is_linear(linear) or type(linear.weight) is not nn.Parameter:
        raise _not_after_linear(name)
    if norm.running_mean is None:
        raise ValueError(f"module: {name} keeps no running mean and variance, so each batch changes what it does")
    scale = torch.rsqrt(norm.running_var + norm.eps)
    scale = scale if norm.weight is None else scale * norm.weight
    shift = -norm.running_mean if linear.bias is None else linear.bias - norm.running_mean
    shift = shift * scale if norm.bias is None else shift * scale + norm.bias
    linear.weight = nn.Parameter(linear.weight * scale[:, None])
    linear.bias = nn.Parameter(shift)


def _spikes(parts: list[tuple[str, nn.Module]], values: Tensor) -> list[Tensor]:
    """Of each layer of neurons the spikes (T, n, m), where its parts are run one after another from zero state."""
    below, found = values.transpose(0, 1), []
    for _, part in parts:
        own, kind = copy.deepcopy(part).eval(), foreign_kind(part)
        dtype = next((tensor.dtype for tensor in part.parameters()), below.dtype)
        if hasattr(own, "step_mode"):
            own.step_mode = "s"  # type: ignore[assignment]
        if kind is not None:
            kind.begin(own)
        # In its own dtype at every step: snnTorch keeps the spikes of neurons in float64 as float32.
        below = torch.stack([own.to(dtype)(step) for step in below.to(dtype)])
        if kind is not None:
            found.append(below)
    return found
