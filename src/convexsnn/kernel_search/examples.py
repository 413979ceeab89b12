"""Made-up sequences: what a network of very many kernels answers to them, one of few kernels should answer too."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.kernel_search.rates import rates
from convexsnn.kernel_search.readout import AnsweredRows, KernelReadout
from convexsnn.network import Hidden
from convexsnn.problem import Problem
from convexsnn.sequences import Sequences

# So many sequences suffice to tell kernels apart, or as many as have so many steps.
ENOUGH, ENOUGH_STEPS = 1000, 60_000
# So many are made up with noise, or as many as have so many steps; and the noise, as a share of a standard deviation.
NOISY, NOISE = 3000, 0.3
# A made-up sequence begins earlier or later by up to this share of the steps.
SHIFT = 0.05


def with_examples(problem: Problem, drawn: Hidden, generator: torch.Generator) -> AnsweredRows:
    """The sequences of a problem, and where they are few, made-up ones.

    The target of a made-up sequence is what the ridge readout of all of the drawn kernels answers. Each counts as much
    as a sequence of the problem does on average.
    """
    rows = AnsweredRows(problem.input.to("cpu", torch.float64), problem.targets, problem.weights, problem.intercept)
    made_up = made_up_for(rows.sequences, generator)
    if made_up is None:
        return rows
    W = KernelReadout.of(rows, rates(drawn, rows.sequences)).weights
    answered = rates(drawn, made_up)
    targets = answered @ W[: answered.shape[1]] + W[answered.shape[1] :].sum(dim=0)
    weights = joined_weights(rows.weights, len(made_up))
    return AnsweredRows(
        concatenated(rows.sequences, made_up), torch.cat([rows.targets, targets]), weights, rows.intercept
    )


def made_up_for(sequences: Sequences, generator: torch.Generator) -> Sequences | None:
    """As many made-up sequences as are missing to tell kernels apart, float64 on the CPU; None where none are."""
    count = min(ENOUGH, ENOUGH_STEPS // sequences.n_steps) - len(sequences)
    return None if count <= 0 else mixed(sequences.to("cpu", torch.float64), count, generator)


def noisy(sequences: Sequences, generator: torch.Generator) -> Sequences:
    """Made-up sequences with noise in each number, float64 on the CPU."""
    sequences = sequences.to("cpu", torch.float64)
    made_up = mixed(sequences, _noisy_count(sequences), generator)
    unit = sequences.values[sequences.shown].std(dim=0)
    noise = torch.randn(made_up.values.shape, generator=generator, dtype=torch.float64)
    return Sequences((made_up.values + NOISE * unit * noise) * made_up.shown.unsqueeze(2), made_up.lengths)


def joined_weights(weights: Tensor, count: int) -> Tensor:
    """Row weights (n,) that sum to one, with those of `count` more rows, each of which counts as a row on average."""
    n = len(weights)
    return torch.cat([n * weights, weights.new_ones(count)]) / (n + count)


def mixed(sequences: Sequences, count: int, generator: torch.Generator) -> Sequences:
    """Weighted means of two sequences each, moved in time.

    A mean is as long as the shorter of the two. Where it is moved, the first or last value is held.
    """
    n, T = len(sequences), sequences.n_steps
    first, second = (sequences.take(torch.randint(n, (count,), generator=generator)) for _ in range(2))
    share = 0.5 * torch.rand(count, 1, 1, generator=generator, dtype=torch.float64)
    values = (1.0 - share) * first.values + share * second.values
    lengths = torch.minimum(first.lengths, second.lengths)
    most = max(1, int(SHIFT * T))
    shift = torch.randint(-most, most + 1, (count, 1), generator=generator)
    source = torch.minimum((torch.arange(T) - shift).clamp(min=0), lengths.unsqueeze(1) - 1)
    moved = Sequences(values.gather(1, source.unsqueeze(2).expand_as(values)), lengths)
    return Sequences(moved.values * moved.shown.unsqueeze(2), lengths)


def concatenated(first: Sequences, second: Sequences) -> Sequences:
    """The sequences of both, which have equally many steps and features."""
    return Sequences(torch.cat([first.values, second.values]), torch.cat([first.lengths, second.lengths]))


def sampled(sequences: Sequences, generator: torch.Generator) -> Sequences:
    """As many of the sequences as `noisy` makes up, or all of them, float64 on the CPU."""
    chosen = torch.randperm(len(sequences), generator=generator)[: _noisy_count(sequences)]
    return sequences.to("cpu", torch.float64).take(chosen.sort().values)


def _noisy_count(sequences: Sequences) -> int:
    return min(NOISY, max(1, ENOUGH_STEPS // sequences.n_steps))
