"""The last step of a search: smaller branches that have the same training columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.ranks import Alone, Ranks, put_together, share_of
from convexsnn.search.branches.population import Population, StackedLayer, join_populations
from convexsnn.search.branches.simulator import columns
from convexsnn.search.dictionary import SearchDictionary
from convexsnn.search.patterns import patterns_of
from convexsnn.search.state import Held, SearchTask

# Share of connections that one trial leaves out: drawn evenly on a logarithmic axis.
LEAST, MOST = 0.005, 0.5
# Share of these trials that leave out whole neurons.
WHOLE_NEURONS = 0.5
# Share of the trials that vary numbers instead, where there are validation data to tell which variant is better.
VARIED = 0.5
# With many branches each is tried fewer times at once, so that there may be several generations.
GENERATIONS, LEAST_AT_ONCE = 8, 16
# Generations without a success after which a branch is left as it is.
PATIENCE = 4


def prune(task: SearchTask, pool: SearchDictionary, trials: int, generator: torch.Generator) -> SearchDictionary:
    """The pool with other branches that have the same columns where these carry weight.

    The training objective stays what it is. Connections on which no training row depends are left out: that is a
    smaller network, and one with less of a reason to err on other inputs. Of branches that no training row tells apart,
    validation data may: then the score on these comes first, and the number of connections after it.

    Parameters
    ----------
    task : SearchTask
        Trials are run in float32; what is kept of them is run again in the arithmetic of the network to be.
    pool : SearchDictionary
    trials : int
        Branches run over all training rows, for all branches of the pool together.
    generator : torch.Generator
    """
    pool = pool.take(pool.weighty)
    if pool.genomes is None or len(pool.genomes) == 0 or trials == 0:
        return pool
    genomes, n_branches = pool.genomes, len(pool.genomes)
    at_once = min(task.settings.population, max(LEAST_AT_ONCE, trials // (GENERATIONS * n_branches)))
    generations = -(-trials // (at_once * n_branches))
    if task.held is not None:
        return replace(pool, genomes=_one_by_one(task, pool, task.held, (generations, at_once), generator))
    seeds = torch.randint(2**62, (n_branches,), generator=generator).tolist()
    alone = replace(task, runner=replace(task.runner, ranks=Alone()))

    def pruned(share: slice) -> list[Population]:
        return [
            _prune_branch(
                _Bench.of(alone, pool, b),
                genomes.take(slice(b, b + 1)),
                generations,
                at_once,
                torch.Generator().manual_seed(seeds[b]),
            )
            for b in range(n_branches)[share]
        ]

    return replace(pool, genomes=_in_shares(genomes, pruned, task.runner.ranks))


def _one_by_one(
    task: SearchTask, pool: SearchDictionary, held: Held, trials: tuple[int, int], generator: torch.Generator
) -> Population:
    """The branches, of which each is judged by what the network with those before it gives on the validation data."""
    assert pool.genomes is not None
    genomes, total = pool.genomes, held.outputs(pool)
    for b in range(len(genomes)):
        before, branch, after = (genomes.take(part) for part in (slice(b), slice(b, b + 1), slice(b + 1, None)))
        bench = _Bench.of(task, pool, b)
        total = total - bench.outputs(branch)[0]
        branch = _prune_branch(replace(bench, others=total), branch, *trials, generator)
        total = total + bench.outputs(branch)[0]
        genomes = join_populations(before, branch, after)
    return genomes


def _in_shares(genomes: Population, pruned: Callable[[slice], list[Population]], ranks: Ranks) -> Population:
    """The population that `pruned` makes of the branches, of which each rank does a share.

    No branch depends on another, so each rank works through its own without a word to the others.
    """
    share = share_of(len(genomes), ranks)
    own = join_populations(*pruned(share)) if share.start < share.stop else genomes.take(share)

    def whole(tensor: Tensor) -> Tensor:  # as bytes, since a sum of numbers would lose the sign of a zero
        own_bytes = tensor.contiguous().view(torch.uint8)
        return put_together(own_bytes, share, len(genomes), ranks).view(tensor.dtype)

    return own.map(whole)


@dataclass(frozen=True, eq=False)
class _Bench:
    """Where trials of one branch are compared.

    Attributes
    ----------
    task : SearchTask
    places : int64 tensor of shape (k,)
        Those of the columns of its last layer that are in the pool.
    wanted : bool or float64 tensor of shape (k, rows)
        These columns.
    W : float64 tensor of shape (k, C)
    others : float64 tensor of shape (validation rows, C), or None
        What the rest of the network gives on the validation data.
    """

    task: SearchTask
    places: Tensor
    wanted: Tensor
    W: Tensor
    others: Tensor | None = None

    @classmethod
    def of(cls, task: SearchTask, pool: SearchDictionary, b: int) -> _Bench:
        """The branch number `b` of the pool, with what is known of it."""
        own = torch.nonzero(pool.owner == b).flatten()
        return cls(task, pool.place[own], patterns_of(pool.columns.take(own)), pool.W[own])

    def faithful(self, trials: Population) -> Tensor:
        """Which trials have the wanted columns, in float32; int64 tensor of their numbers."""
        seen = self.task.runner.columns(trials, *self._named(len(trials))).reshape(len(trials), *self.wanted.shape)
        return torch.nonzero((seen == self.wanted).flatten(1).all(dim=1)).flatten()

    def holds(self, trial: Population) -> bool:
        """Whether a population of one has them in the arithmetic of the network to be."""
        exact = self.task.rows.exact
        cast = trial.map(lambda tensor: tensor.to(exact.values[0].dtype))
        return torch.equal(columns(cast, *self._named(1), exact), self.wanted)

    def worth(self, trials: Population) -> list[tuple[float, int]]:
        """Validation score and connections left out of each, to be compared in this order."""
        zeros = _zeros(trials).tolist()
        if self.others is None or self.task.held is None:
            return [(0.0, count) for count in zeros]
        outputs, score = self.others + self.outputs(trials), self.task.held.validation.score_of
        return [(score(S), count) for S, count in zip(outputs, zeros, strict=True)]

    def outputs(self, trials: Population) -> Tensor:
        """What each gives on the validation data: float64 tensor of shape (trials, validation rows, C)."""
        assert self.task.held is not None
        seen = self.task.held.runner.columns(trials, *self._named(len(trials))).to(torch.float64)
        return torch.einsum("bkr,kc->brc", seen.reshape(len(trials), len(self.places), -1), self.W)

    def _named(self, count: int) -> tuple[Tensor, Tensor]:
        return torch.arange(count).repeat_interleave(len(self.places)), self.places.repeat(count)


def _prune_branch(
    bench: _Bench, branch: Population, generations: int, at_once: int, generator: torch.Generator
) -> Population:
    """A population of one that does what `branch` does for the bench, and is worth as much or more."""
    best, failures = bench.worth(branch)[0], 0
    varied = 0 if bench.others is None else round(VARIED * at_once)
    for _ in range(generations):
        if failures == PATIENCE:
            break
        copies = branch.take(torch.zeros(at_once, dtype=torch.int64))
        trials = _left_out(copies, generator)
        if varied:
            trials = join_populations(
                trials.take(slice(varied, None)), bench.task.variation.mutate(copies.take(slice(0, varied)), generator)
            )
        trials = trials.take(bench.faithful(trials))
        worth, failures = bench.worth(trials) if len(trials) else [], failures + 1
        for b in sorted(range(len(worth)), key=worth.__getitem__, reverse=True):
            if worth[b] <= best:
                break
            if bench.holds(trial := trials.take(slice(b, b + 1))):
                branch, best, failures = trial, worth[b], 0
                break
    return branch


def _left_out(population: Population, generator: torch.Generator) -> Population:
    """Some connections of each branch set to zero: single ones, or all that lead out of some neurons."""
    count = len(population)
    rate = LEAST * (MOST / LEAST) ** torch.rand(count, generator=generator)
    whole = torch.rand(count, generator=generator) < WHOLE_NEURONS

    def chance(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator) < rate.reshape(-1, *[1] * len(shape))

    layers, gone = [], None
    for layer in population.layers:
        width = layer.weight.shape[2]

        def spare(numbers: Tensor, source: Tensor | None) -> Tensor:
            """Numbers (B, in, m), of which those of `source` (B, in) are left out in the trials on whole neurons."""
            alone = chance(*numbers.shape[1:]) & ~whole.reshape(-1, *[1] * (numbers.ndim - 1))
            out = alone if source is None else alone | source.unsqueeze(2)
            return numbers.masked_fill(out, 0.0)

        leaving = chance(width) & whole.unsqueeze(1)
        layers.append(
            StackedLayer(
                spare(layer.weight, gone),
                None if layer.recurrent is None else spare(layer.recurrent, leaving),
                None if layer.bias is None else spare(layer.bias, None),
                layer.leak,
                layer.threshold,
            )
        )
        gone = leaving
    return replace(population, layers=tuple(layers))


def _zeros(population: Population) -> Tensor:
    """Weights and biases that are zero: int64 tensor of shape (B,)."""
    tensors = [t for layer in population.layers for t in (layer.weight, layer.recurrent, layer.bias) if t is not None]
    return torch.stack([(t == 0.0).flatten(1).sum(dim=1) for t in tensors]).sum(dim=0)
