"""What a module itself answers, found in what it returns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from convexsnn.polishing.pooling import Pooling
from convexsnn.polishing.tape import Heard, Tape

# Where the module returns an output for every step: the one that counts is the pooled one, or that of the last step.
POOLED, FINAL = "pooled", "final"


def own_output(tape: Tape, heard: Heard, pooling: Pooling, lengths: Tensor | None, how: str = POOLED) -> Tensor:
    """The module's own outputs, float64 (rows, C), of what it returned for one batch.

    A tensor is the output; of a tuple its first tensor, the rest being state; a list holds one output a step. An output
    for every step, (T, n, C) or (n, T, C), is pooled as the readout is (`how` "pooled"), or read at the last step.

    Raises
    ------
    ValueError
        When there is no tensor, it has another shape, or only a state explains what was returned.
    """
    steps, n = heard.read.shape[:2]
    if isinstance(heard.returned, tuple) and len(heard.returned) > 1 and tape.run is None and _one_step(heard):
        raise ValueError(
            "module was shown a single step and returned a state with its output: it wants to be called once a step. "
            "Pass run=, a function of module and batch that shows it all steps and returns the output"
        )
    given = _find(heard.returned)
    shape = tuple(given.shape)
    given = given.detach().cpu().to(torch.float64)
    if given.ndim == 1 and len(given) == n:
        given = given[:, None]
    if given.ndim == 2 and len(given) == n and not pooling.every_step:
        return given
    over_time = _time_first(given, steps, n, tape.time)
    if over_time is None:
        whole = "" if pooling.every_step else f"({n}, C), or "
        raise ValueError(
            f"module returned an output of shape {shape} for a batch of {n} sequences of {steps} steps: expected "
            f"{whole}({steps}, {n}, C) or ({n}, {steps}, C). Pass run=, a function of module and batch that returns it"
        )
    return (pooling if how == POOLED else Pooling()).reduce(over_time, lengths)


def _one_step(heard: Heard) -> bool:
    """Whether the spiking layer, too, saw one step only: it was called once, and not with all steps."""
    (steps, n), out = heard.read.shape[:2], heard.spikes[0]
    spikes = out[0] if isinstance(out, (tuple, list)) else out
    all_steps = spikes.ndim > 2 and spikes.shape[1] == n
    return steps == 1 and len(heard.spikes) == 1 and len(spikes) == n and not all_steps


def _find(returned: Any) -> Tensor:
    if isinstance(returned, Tensor):
        return returned
    if isinstance(returned, list) and returned:
        outputs = [_find(part) for part in returned]
        if len({part.shape for part in outputs}) == 1:
            return torch.stack(outputs)
    elif isinstance(returned, tuple):
        for part in returned:
            if isinstance(part, (Tensor, list)):
                return _find(part)
    kind = "nothing" if returned is None else f"a {type(returned).__name__}"
    raise ValueError(
        f"module (or run) returned {kind}: it must return the output by which the network is judged, a tensor (n, C), "
        "a tuple that begins with it, or a list of one output a step"
    )


def _time_first(given: Tensor, steps: int, n: int, time: str) -> Tensor | None:
    """Outputs of every step as (T, n, C), or None."""
    if given.ndim == 2 and len(given) == steps * n:
        return given.unflatten(0, (steps, n))
    if given.ndim == 2:
        given = given[:, :, None]  # one output
    batch_first = given.ndim == 3 and given.shape[:2] == (n, steps)
    if batch_first and (time == "batch" or steps != n):
        return given.transpose(0, 1)
    return given if given.ndim == 3 and given.shape[:2] == (steps, n) else None
