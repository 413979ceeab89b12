"""Ranges of a neuron's parameters beyond which nothing changes, its input weights scaled to at most 1."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from convexsnn.bounds.decisions import Inputs, positions
from convexsnn.bounds.family import Family, Unit
from convexsnn.readouts import Spike

# Ranges are this much wider than need be, so that no decision is a tie at their ends.
WIDER = 1.01
LARGEST_RANGE = 1e4


def ranges_of(unit: Unit, family: Family, inputs: Inputs) -> list[tuple[float, float]]:
    """The interval of each parameter in p that covers all weights with max(|w|, |bias|) = 1.

    - threshold (its size): above every potential without spikes nothing fires (or, of a negative threshold, everything
      does), whatever it is. Then membranes after t spikes lie around a level c_t theta, where a reset adds |theta|, and
      a readout bias can tell the levels apart: they do not mix once their least distance leak^(T-1) theta is more than
      all that the input adds on both sides;
    - recurrent weight: where it enters a potential it is multiplied by at least leak^(T-2), so beyond all else in the
      potential over that it decides alone;
    - readout bias: beyond all membranes it decides alone.

    Raises
    ------
    ValueError
        When a range is too wide for a mixed-integer program, or cannot be bounded: with recurrent weights and a readout
        bias the levels of a membrane are sums of powers of the leak, which may come as near one another as they like.
    """
    at, T = positions(unit, family), inputs.values.shape[1]
    leak = unit.leak if unit.neuron == "lif" else 0.0
    steps = np.abs(inputs.values).sum(axis=2).max(axis=0) + unit.bias
    quiet = [0.0]
    for size in steps:
        quiet.append(leak * quiet[-1] + float(size))
    ranges = [(-1.0, 1.0)] * (family.n_features + unit.self_recurrent + unit.bias)
    theta = WIDER * max(quiet) if unit.has_threshold else 0.0
    if unit.threshold < 0.0 and unit.readout_bias and unit.reset in ("soft", "delayed") and leak > 0.0:
        theta *= 2.0 / leak ** (T - 1)
        _check_range("a negative threshold with a readout bias", theta, T, leak)
    if unit.has_threshold:
        ranges.append((0.0, theta))
    largest, coefficient = max(quiet) + (T + 1) * theta, sum(leak**k for k in range(T))
    if unit.self_recurrent:
        if unit.threshold < 0.0 or unit.readout_bias:
            other = "a negative threshold" if unit.threshold < 0.0 else "a readout bias"
            raise ValueError(f"family has recurrent weights and {other}: use 'arrangement' or 'universal'")
        recurrent = WIDER * largest / (leak ** max(0, T - 2) if leak > 0.0 else 1.0)
        _check_range("recurrent weights", recurrent, T, leak)
        ranges[at["recurrent"]] = (-recurrent, recurrent)
        largest += coefficient * recurrent
    if unit.readout_bias:
        ranges.append((-WIDER * largest, WIDER * largest))
    return ranges


def _check_range(what: str, end: float, T: int, leak: float) -> None:
    if end > LARGEST_RANGE:
        raise ValueError(
            f"family has {what} that would range to {end:.1e} on {T} steps at leak {leak:g}: use 'arrangement' or "
            "'universal'"
        )


def without_input(unit: Unit, family: Family, inputs: Inputs) -> Iterator[NDArray[np.float64]]:
    """The patterns of w = bias = 0, which are functions of the step alone: 0/1 arrays (T,).

    All else scales together, so a recurrent weight is -1, 0 or 1; a readout bias lies at one of the membranes met, or
    above them.
    """
    d, at, T = family.n_features, positions(unit, family), inputs.values.shape[1]
    for recurrent in (-1.0, 0.0, 1.0) if unit.self_recurrent else (0.0,):
        p = torch.zeros(d + len(at), dtype=torch.float64)
        if unit.self_recurrent:
            p[at["recurrent"]] = recurrent
        if unit.has_threshold:
            p[at["threshold"]] = 1.0
        neuron = unit.branch(p, d, torch.float64).last.neuron
        spiked = torch.zeros(1, dtype=torch.float64)
        state, spikes, membranes = neuron.initial_state(spiked), [], []
        for _ in range(T):
            fired = neuron.step(p[at["recurrent"]] * spiked if unit.self_recurrent else 0.0 * spiked, state)
            state, spiked = fired.state, fired.spikes.to(torch.float64)
            spikes.append(float(spiked))
            membranes.append(float(fired.membrane))
        if isinstance(family.readout, Spike):
            yield np.array(spikes)
            continue
        met = np.array(membranes)
        for bias in itertools.chain(met, (met.max() + 1.0,)) if unit.readout_bias else (0.0,):
            yield (met >= bias).astype(np.float64)
