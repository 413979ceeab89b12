"""What the output reads of the last layer, with a gradient: the readouts over all steps at once."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.readouts import Analog, LastLayer, Membrane, OverTime, Readout, Several, Spike
from convexsnn.surrogate.scan import Heaviside, Scanned
from convexsnn.surrogate.shapes import SurrogateShape


def check_readout(readout: Readout) -> None:
    """ValueError, naming the readout, where its columns have no gradient that is known here."""
    match readout:
        case Spike() | Membrane() | Analog() | OverTime():
            pass
        case Several():
            for own in readout.readouts:
                check_readout(own)
        case other:
            raise ValueError(f"surrogate gradients do not know the readout {str(other)!r}")


def last_layers(readout: Readout, scanned: Scanned, lengths: Tensor, bias: Tensor, *, every_step: bool) -> LastLayer:
    """What `readout` may look at in each row: a row a sequence, or a step of each sequence.

    Parameters
    ----------
    scanned : Scanned
        Of the last layer, (T, n, m).
    lengths : int64 tensor of shape (n,)
    bias : float tensor of shape (m,)
        The branch's readout_bias.
    """
    T, n, _ = scanned.spikes.shape
    rows = lambda states: _rows(states, lengths, every_step=every_step)  # noqa: E731
    steps = torch.arange(1, T + 1, device=lengths.device).view(T, 1, 1).expand(T, n, 1)
    accumulated = None if every_step else readout.after(_shown(scanned.spikes, lengths).transpose(0, 1), lengths)
    if accumulated is None:
        accumulated = tuple(map(rows, _step_by_step(readout, scanned, steps, bias)))
    return LastLayer(rows(scanned.spikes), rows(scanned.membrane), accumulated, rows(steps), bias)


def _shown(spikes: Tensor, lengths: Tensor) -> Tensor:
    """Spikes (T, n, m) with zeros beyond the end of each sequence."""
    T = len(spikes)
    if bool((lengths == T).all()):
        return spikes
    return spikes * (torch.arange(T, device=lengths.device).unsqueeze(1) < lengths).unsqueeze(2)


def _step_by_step(readout: Readout, scanned: Scanned, steps: Tensor, bias: Tensor) -> list[Tensor]:
    """What the readout has accumulated at each step, tensors of shape (T, n, ...)."""
    carried, line = readout.start(torch.zeros_like(scanned.spikes[0])), []
    for t in range(len(steps)):
        carried = readout.update(LastLayer(scanned.spikes[t], scanned.membrane[t], carried, steps[t], bias))
        line.append(carried)
    return [torch.stack(same) for same in zip(*line, strict=True)]


def columns_of(readout: Readout, last: LastLayer, surrogate: SurrogateShape) -> Tensor:
    """The columns (rows, m * parts), with a gradient; 0/1 columns as floats."""
    match readout:
        case Spike():
            return last.spikes
        case Analog():
            return last.membrane
        case Membrane():
            distance = last.membrane if last.bias is None else last.membrane - last.bias
            return Heaviside.apply(distance, surrogate)
        case OverTime():  # sums of spikes, of which torch knows the gradient
            return readout.read(last).features
        case Several():
            rows, m = last.spikes.shape
            parts = [columns_of(own, seen, surrogate).view(rows, m, -1) for own, seen in readout.each(last)]
            return torch.cat(parts, dim=2).flatten(start_dim=1)
        case other:
            raise ValueError(f"surrogate gradients do not know the readout {str(other)!r}")


def _rows(states: Tensor, lengths: Tensor, *, every_step: bool) -> Tensor:
    """Rows of the dictionary from states (T, n, m): the last step of each sequence, or all its steps."""
    T, n = states.shape[:2]
    if every_step:
        inside = torch.arange(T, device=lengths.device) < lengths.unsqueeze(1)
        return states.transpose(0, 1)[inside]
    return states[lengths - 1, torch.arange(n, device=lengths.device)]
