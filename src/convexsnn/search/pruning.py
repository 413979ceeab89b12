"""Fewer connections for the same columns: what no training spike of a column depends on is left out."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.columns import unpack_bits
from convexsnn.search.pool import GIVEN, Pool
from convexsnn.search.population import Population, StackedLayer, join
from convexsnn.search.rows import Rows
from convexsnn.search.simulator import columns

# Share of connections that one trial leaves out: drawn evenly on a logarithmic axis.
LEAST, MOST = 0.005, 0.5
# Share of the trials that leave out whole neurons.
WHOLE_NEURONS = 0.5
# With many branches each is tried fewer times at once, so that there may be several generations.
GENERATIONS, LEAST_AT_ONCE = 8, 16
# Generations without a success after which a branch is left as it is.
PATIENCE = 3


def prune(pool: Pool, rows: Rows, trials: int, at_once: int, generator: torch.Generator) -> Pool:
    """The pool with searched branches that have fewer connections, and the same columns where these carry weight.

    The training objective stays what it is. What a connection did that no training row shows is given up: that is a
    smaller network, and one with less of a reason to err on other inputs.

    Parameters
    ----------
    pool : Pool
    rows : Rows
        Trials are run in float32; what is kept of them is run again in the arithmetic of the network to be.
    trials : int
        Branches run over all training rows, for all branches of the pool together.
    at_once : int
        Of one branch, at most.
    generator : torch.Generator
    """
    used = pool.owner[pool.weighty & (pool.owner != GIVEN)].unique()
    if pool.genomes is None or len(used) == 0 or trials == 0:
        return pool
    pool = pool.take(pool.weighty)
    assert pool.genomes is not None
    n_branches = len(pool.genomes)
    at_once = min(at_once, max(LEAST_AT_ONCE, trials // (GENERATIONS * n_branches)))
    generations = -(-trials // (at_once * n_branches))
    branches = []
    for b in range(n_branches):
        own = torch.nonzero(pool.owner == b).flatten()
        wanted = unpack_bits(pool.columns.packed[own], pool.columns.n) > 0
        branches.append(
            _prune_branch(
                pool.genomes.take(torch.tensor([b])),
                pool.neuron[own],
                wanted,
                rows,
                generations,
                at_once,
                generator,
            )
        )
    return replace(pool, genomes=join(*branches))


def _prune_branch(
    branch: Population,
    neurons: Tensor,
    wanted: Tensor,
    rows: Rows,
    generations: int,
    at_once: int,
    generator: torch.Generator,
) -> Population:
    """A population of one, whose `neurons` have the columns `wanted` (P, rows), with fewer connections."""
    dtype, count = rows.exact.values[0].dtype, len(neurons)
    owner, neuron = torch.arange(at_once).repeat_interleave(count), neurons.repeat(at_once)
    failures = 0
    for _ in range(generations):
        if failures == PATIENCE:
            break
        trials = _left_out(branch.take(torch.zeros(at_once, dtype=torch.int64)), generator)
        seen = columns(trials, owner, neuron, rows.fast).reshape(at_once, count, -1)
        zeros = torch.where((seen == wanted).flatten(1).all(dim=1), _zeros(trials), -1)
        best = int(zeros.argmax())
        failures += 1
        if zeros[best] > _zeros(branch)[0]:
            trial = trials.take(torch.tensor([best]))
            exact = columns(trial.map(lambda tensor: tensor.to(dtype)), owner[:count], neurons, rows.exact)
            if torch.equal(exact, wanted):
                branch, failures = trial, 0
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
