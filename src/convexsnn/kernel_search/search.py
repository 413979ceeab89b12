"""The rounds of a search for few kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_integer
from convexsnn.kernel_search.examples import with_examples
from convexsnn.kernel_search.pricing import best_together
from convexsnn.kernel_search.rates import rates
from convexsnn.kernel_search.readout import AnsweredRows, KernelReadout
from convexsnn.kernel_search.variation import by_delays, picked_kernels, varied
from convexsnn.losses import Squared
from convexsnn.network import Hidden
from convexsnn.problem import Problem
from convexsnn.sequences import Sequences
from convexsnn.witnesses.kernels import KernelShape, kernels
from convexsnn.witnesses.mixture import mix

# New kernels a round, and varied ones of each that the readout has: at most so many in all.
FRESH, COPIES, MOST_VARIED = 1500, 20, 1500
# A round adds so many kernels, or this share of those that the readout has.
ADDED, ADDED_SHARE = 20, 0.1
# Kernels are priced on so many sequences at least, up to so many steps, and twice as many as are kept.
LEAST_PRICED, MOST_PRICED, PRICED_STEPS = 100, 1000, 32_768
# Of the kernels that are too many, this share is left out at a time.
LEFT_OUT = 1.0 / 3.0


@dataclass(frozen=True, kw_only=True)
class KernelSearchSettings:
    """For how many kernels to search, among which, and how long.

    Attributes
    ----------
    last : int
        The search keeps this many neurons.
    drawn : int
        It begins with this many random kernels, at least `last`.
    rounds : int
        So many times it tries new kernels and varied ones.
    lengths : tuple of int
        Each neuron sees each of its features at one of these numbers of steps, at least 1.
    dtype : {"float64", "float32"}
        The network computes with numbers of this precision.
    """

    last: int = 60
    drawn: int = 5000
    rounds: int = 8
    lengths: tuple[int, ...] = KernelShape.lengths
    dtype: str = KernelShape.dtype

    def __post_init__(self) -> None:
        check_integer("last", self.last)
        check_integer("drawn", self.drawn, minimum=self.last)
        check_integer("rounds", self.rounds, minimum=0)
        object.__setattr__(self, "lengths", self.shape(self.drawn).lengths)

    def shape(self, neurons: int) -> KernelShape:
        """The settings of a draw of so many kernels."""
        return KernelShape(neurons, self.lengths, dtype=self.dtype)


@isolated
def search_kernels(
    problem: Problem,
    settings: KernelSearchSettings,
    generator: torch.Generator,
    on_round: Callable[[int], None] | None = None,
) -> Hidden:
    """Find few kernels by which a ridge readout answers a problem.

    Many kernels are drawn. The best of them are taken, one after another, by what each is worth to the readout. Then
    come the rounds: new kernels and varied ones are priced, the best are added, and of all of them those are left out
    that are missed least. Prices are set by the rows' residuals when each is left out, not by those of training.

    Few sequences say little of a kernel. Where there are fewer than 1000, made-up ones are added (`with_examples`).

    Parameters
    ----------
    problem : Problem
        Of the squared loss, with one row a sequence. Its rho is not used: each readout has its own.
    settings : KernelSearchSettings
    generator : torch.Generator
        On the CPU; advanced by the call.
    on_round : callable (int), optional
        It is called with the number of each round before it begins; 0 prices the kernels that are drawn first.

    Returns
    -------
    Hidden
        One branch for each set of delays. The readout is the rate.

    Raises
    ------
    ValueError
        On another loss.
    """
    if not isinstance(problem.loss, Squared):
        raise ValueError(f"a search for kernels needs loss='squared', not {problem.loss.name!r}")
    given = problem.input.to("cpu", torch.float64)
    drawn = kernels(given, generator, settings.shape(settings.drawn))
    rows = with_examples(problem, drawn, generator)
    nothing = rows.targets[:, :0]
    found = _Found(replace(drawn, branches=()), nothing, KernelReadout.of(rows, nothing))
    for number in range(settings.rounds + 1):
        if on_round is not None:
            on_round(number)
        candidates = drawn if number == 0 else _candidates(found.hidden, given, settings, generator)
        missing = settings.last - found.readout.P
        more = max(ADDED, round(ADDED_SHARE * settings.last))
        new = _best(candidates, found.readout, rows, missing + more, generator)
        columns = torch.cat([found.columns, rates(new, rows.sequences)], dim=1)
        found = _fewer(mix(found.hidden, new), columns, rows, settings.last)
    return by_delays(found.hidden)


@dataclass(frozen=True, eq=False)
class _Found:
    """Kernels, their columns (n, P) and their readout."""

    hidden: Hidden
    columns: Tensor
    readout: KernelReadout


def _candidates(found: Hidden, given: Sequences, settings: KernelSearchSettings, generator: torch.Generator) -> Hidden:
    """New kernels, and such as differ a little from those found."""
    fresh = kernels(given, generator, settings.shape(FRESH))
    copies = min(COPIES, math.ceil(MOST_VARIED / found.n_last))
    return by_delays(mix(fresh, varied(by_delays(found), given, copies, generator)))


def _best(
    candidates: Hidden, readout: KernelReadout, rows: AnsweredRows, count: int, generator: torch.Generator
) -> Hidden:
    """The candidates that lower the objective most together, judged on some of the rows."""
    most = min(MOST_PRICED, max(LEAST_PRICED, PRICED_STEPS // rows.sequences.n_steps))
    some = torch.randperm(len(rows.targets), generator=generator)[: max(most, 2 * count)]
    columns = rates(candidates, rows.sequences.take(some)) * rows.root[some]
    return picked_kernels(candidates, best_together(readout, columns, some, count))


def _fewer(hidden: Hidden, columns: Tensor, rows: AnsweredRows, last: int) -> _Found:
    """The kernels without those that are missed least, some at a time."""
    while (extra := columns.shape[1] - last) > 0:
        order = KernelReadout.of(rows, columns).losses.argsort(descending=True, stable=True)
        kept: Tensor = order[: columns.shape[1] - math.ceil(LEFT_OUT * extra)].sort().values
        hidden, columns = picked_kernels(hidden, kept), columns[:, kept]
    return _Found(hidden, columns, KernelReadout.of(rows, columns))
