"""Listening to two layers of a module while it runs on one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convexsnn.polishing.find import Parts

TIMES = ("steps", "first", "batch")
RunModule = Callable[[nn.Module, Tensor], Any]


class Watched(NamedTuple):
    """What two layers did on one batch: outputs of the spiking layer, inputs and outputs of the readout."""

    spikes: list[Any]
    readout: list[tuple[Tensor, Tensor]]


class Tape:
    """Runs the module on a batch and gives what its readout read, (T, n, F)."""

    def __init__(self, parts: Parts, time: str, run: RunModule, module: nn.Module) -> None:
        self.parts, self.time, self.run, self.module = parts, time, run, module

    def __call__(self, x: Any, rows: int, watched: Watched | None = None) -> Tensor:
        heard: list[Tensor] = []
        hooks = [self.parts.readout.register_forward_pre_hook(lambda _, given: heard.append(given[0].detach()))]
        if watched is not None:
            note = lambda _, given, out: watched.readout.append((given[0], out))  # noqa: E731
            hooks.append(self.parts.spikes.register_forward_hook(lambda _, __, out: watched.spikes.append(out)))
            hooks.append(self.parts.readout.register_forward_hook(note))
        weight = self.parts.readout.weight
        try:
            self.run(self.module, x.to(weight.device) if isinstance(x, Tensor) else x)
        finally:
            for hook in hooks:
                hook.remove()
        if not heard:
            raise ValueError(f"readout {self.parts.readout_name!r} was not called when the module ran")
        return self._over_time(heard, rows)

    def _over_time(self, heard: list[Tensor], rows: int) -> Tensor:
        shapes = {tuple(given.shape) for given in heard}
        seen = f"readout {self.parts.readout_name!r} was called {len(heard)} times, with inputs of shape {shapes}"
        declared = f"{seen}; the batch has {rows} labels and time={self.time!r} was declared"
        if len(shapes) != 1:
            raise ValueError(f"{seen}: they must be alike")
        if self.time == "steps":
            if heard[0].ndim != 2 or len(heard[0]) != rows:
                raise ValueError(f"{declared}: expected one call a step with inputs (n, F)")
            return torch.stack(heard)
        if len(heard) != 1:
            raise ValueError(f"{declared}: expected one call a batch (time='steps' is for one a step)")
        given = heard[0]
        if given.ndim == 2 and self.time == "first" and len(given) % rows == 0:
            given = given.unflatten(0, (-1, rows))  # time and batch flattened together, time first
        if given.ndim == 3 and self.time == "batch":
            given = given.transpose(0, 1)
        if given.ndim != 3 or given.shape[1] != rows:
            wanted = "(T, n, F)" if self.time == "first" else "(n, T, F)"
            raise ValueError(f"{declared}: expected an input {wanted}")
        return given


def check_layers(parts: Parts, watched: Watched) -> None:
    """The one layer spikes, and the other is linear. Raises ValueError."""
    if not watched.spikes:
        raise ValueError(f"spiking layer {parts.spikes_name!r} was not called when the module ran")
    for out in watched.spikes:
        spikes = out[0] if isinstance(out, (tuple, list)) else out
        if not bool(((spikes == 0) | (spikes == 1)).all()):
            raise ValueError(
                f"spikes: layer {parts.spikes_name!r} gives values other than 0 and 1, so it does not spike"
            )
    for given, out in watched.readout:
        expected = nn.functional.linear(given, parts.readout.weight, parts.readout.bias)
        near = float(expected.abs().max()) * 1e-2  # coarse: the module may compute in half precision
        if out.shape != expected.shape or not torch.allclose(out.to(expected.dtype), expected, rtol=1e-2, atol=near):
            raise ValueError(
                f"readout {parts.readout_name!r} does not give W x + b, though it is a Linear: what it gives cannot be "
                "solved for"
            )
