"""Listening to two layers of a module while it runs on one batch, and speaking in place of its readout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convexsnn.polishing.find import Parts

EXPECTED = {
    "steps": "one call a step with inputs (n, F)",
    "first": "one call a batch with an input (T, n, F)",
    "batch": "one call a batch with an input (n, T, F)",
}
TIMES = tuple(EXPECTED)
RunModule = Callable[[nn.Module, Any], Any]


class Heard(NamedTuple):
    """What was heard on one batch.

    Attributes
    ----------
    read, said : Tensor (T, n, F) and (T, n, C)
        Inputs and outputs of the readout at every step.
    returned : Any
        What the module returned.
    spikes : list
        Outputs of the spiking layer.
    """

    read: Tensor
    said: Tensor
    returned: Any
    spikes: list[Any]


class Tape:
    """Runs the module on a batch and gives what was heard."""

    def __init__(self, parts: Parts, time: str, run: RunModule | None, module: nn.Module) -> None:
        self.parts, self.time, self.run, self.module = parts, time, run, module

    def __call__(self, x: Any, n: int, instead: Tensor | None = None) -> Heard:
        """Show a batch of `n` sequences; `instead` (T, n, C) takes the place of what the readout gives."""
        read: list[Tensor] = []
        said: list[Tensor] = []
        spikes: list[Any] = []

        def listen(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor | None:
            step = len(read)
            read.append(readout.without_places(given[0].detach()))
            said.append(readout.without_places(out.detach()))
            return None if instead is None else self._as_said(instead, step, out)

        readout = self.parts.readout
        hooks = [
            readout.layer.register_forward_hook(listen),
            self.parts.spikes.register_forward_hook(lambda _, __, out: spikes.append(out)),
        ]
        x = x.to(readout.weight.device) if isinstance(x, Tensor) else x
        try:
            returned = self.module(x) if self.run is None else self.run(self.module, x)
        finally:
            for hook in hooks:
                hook.remove()
        if not read:
            raise ValueError(f"readout {self.parts.readout_name!r} was not called when the module ran")
        return Heard(self._over_time(read, n), self._over_time(said, n), returned, spikes)

    def _as_said(self, instead: Tensor, step: int, out: Tensor) -> Tensor:
        if self.time == "steps":
            if step >= len(instead):
                raise ValueError(f"readout {self.parts.readout_name!r} was called more often the second time")
            given = instead[step]
        elif self.time == "batch":
            given = instead.transpose(0, 1)
        else:
            flat = self.parts.readout.without_places(out).ndim == 2
            given = instead.flatten(0, 1) if flat else instead
        return given.to(out).reshape(out.shape)

    def _over_time(self, heard: list[Tensor], n: int) -> Tensor:
        shapes = {tuple(given.shape) for given in heard}
        seen = f"readout {self.parts.readout_name!r} was called {len(heard)} times, with inputs of shape {shapes}"
        if len(shapes) != 1:
            raise ValueError(f"{seen}: they must be alike")
        declared = f"{seen}; the batch has {n} labels and time={self.time!r} was declared"
        layouts = {time: _time_first(heard, n, time) for time in TIMES}
        found = layouts[self.time]
        if found is None:
            fits = [repr(time) for time, layout in layouts.items() if layout is not None]
            advice = f". time={' or '.join(fits)} fits: pass that" if fits else ""
            raise ValueError(f"{declared}: expected {EXPECTED[self.time]}{advice}")
        return found


def _time_first(heard: list[Tensor], n: int, time: str) -> Tensor | None:
    """What was heard as (T, n, F), where it has the shapes that `time` says; else None."""
    given = heard[0]
    if time == "steps":
        return torch.stack(heard) if given.ndim == 2 and len(given) == n else None
    if len(heard) != 1:
        return None
    if given.ndim == 2 and time == "first" and n and len(given) % n == 0:
        given = given.unflatten(0, (-1, n))  # time and batch flattened together, time first
    elif given.ndim == 3 and time == "batch":
        given = given.transpose(0, 1)
    return given if given.ndim == 3 and given.shape[1] == n else None


def check_layers(parts: Parts, heard: Heard) -> None:
    """The one layer spikes, and the other is linear. Raises ValueError."""
    if not heard.spikes:
        raise ValueError(f"spiking layer {parts.spikes_name!r} was not called when the module ran")
    for out in heard.spikes:
        spikes = out[0] if isinstance(out, (tuple, list)) else out
        if not bool(((spikes == 0) | (spikes == 1)).all()):
            raise ValueError(
                f"spikes: layer {parts.spikes_name!r} gives values other than 0 and 1, so it does not spike"
            )
    expected = nn.functional.linear(heard.read, parts.readout.weight, parts.readout.bias)
    near = float(expected.abs().max()) * 1e-2  # coarse: the module may compute in half precision
    said = heard.said
    if said.shape != expected.shape or not torch.allclose(said.to(expected.dtype), expected, rtol=1e-2, atol=near):
        raise ValueError(
            f"readout {parts.readout_name!r} does not give W x + b of what it reads: what it gives cannot be solved for"
        )
