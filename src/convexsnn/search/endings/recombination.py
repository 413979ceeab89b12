"""Inputs without labels, of the kind of the training sequences: these taken apart and put together anew."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from convexsnn.sequences import Sequences

# Steps shown, as a multiple of those of the training sequences; and at most so many.
TIMES, MOST_STEPS = 64, 2_000_000
# Pieces put together where there is a label a step: such networks are asked to go on for longer.
PIECES = 16


def recombined(sequences: Sequences, *, every_step: bool, generator: torch.Generator) -> Sequences:
    """The beginning of one sequence with the end of another; for labels a step, pieces of several one after another.

    Parameters
    ----------
    sequences : Sequences
    every_step : bool
        Whether networks answer at every step, instead of at the last.
    generator : torch.Generator
    """
    steps = int(sequences.lengths.sum())
    count = max(1, round(min(TIMES * steps, MOST_STEPS) * len(sequences) / steps))
    return _pieces(sequences, count, generator) if every_step else _crossed(sequences, count, generator)


def _crossed(sequences: Sequences, count: int, generator: torch.Generator) -> Sequences:
    first, second = _drawn(sequences, (2, count), generator)
    shorter = torch.minimum(sequences.lengths[first], sequences.lengths[second])
    cut = (torch.rand(count, generator=generator) * shorter).to(torch.int64)
    early = torch.arange(sequences.n_steps) < cut.unsqueeze(1)
    values = torch.where(early.unsqueeze(2), sequences.values[first], sequences.values[second])
    return Sequences(values, sequences.lengths[second])


def _pieces(sequences: Sequences, count: int, generator: torch.Generator) -> Sequences:
    drawn = _drawn(sequences, (max(1, 2 * count // PIECES), PIECES), generator)
    chance = torch.rand(2, *drawn.shape, generator=generator)
    start = (chance[0] * sequences.lengths[drawn]).to(torch.int64)
    length = 1 + (chance[1] * (sequences.lengths[drawn] - start)).to(torch.int64)
    # Where each step shown stands among the steps of all sequences laid end to end.
    flat, before = length.flatten(), length.flatten().cumsum(dim=0) - length.flatten()
    place = (drawn * sequences.n_steps + start).flatten() - before
    step = torch.arange(int(flat.sum())) + place.repeat_interleave(flat)
    lengths = length.sum(dim=1)
    values = list(sequences.values.flatten(0, 1)[step].split(lengths.tolist()))
    return Sequences(pad_sequence(values, batch_first=True), lengths)


def _drawn(sequences: Sequences, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    return torch.randint(len(sequences), shape, generator=generator)
