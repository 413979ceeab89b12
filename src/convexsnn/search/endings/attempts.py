"""Several attempts of a search: when to begin another, and what to keep of all."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.labels import decide
from convexsnn.prefixes import prefixes_of
from convexsnn.search.dictionary import SearchDictionary, united
from convexsnn.search.endings.pruning import prune
from convexsnn.search.endings.recombination import recombined
from convexsnn.search.endings.slimming import slim
from convexsnn.search.rounds import solve_dictionary
from convexsnn.search.state import SearchState, SearchTask, Settled

# What accuracy and R^2 cannot exceed.
PERFECT = 1.0
# With fewer voices there is no majority.
LEAST_VOICES = 3
# Of probes: a dictionary of all their rows would be larger than that of the training data.
STEPS_AT_ONCE = 200_000


def settle(task: SearchTask, state: SearchState) -> Settled:
    """The result of an attempt, with fewer columns where the validation score does not fall, and fewer connections."""
    pool = slim(task, state.pool) if task.settings.slim else state.pool
    return _scored(task, prune(task, pool, task.effort.trials, state.generator))


def is_worth_another(task: SearchTask, state: SearchState) -> bool:
    """Whether to begin again from nothing: attempts that all learned the rows may differ in their validation score.

    Where one is right on all of them, others are only begun if they suffice for a majority.
    """
    made, jury = len(state.settled), task.settings.jury
    right = sum(settled.score >= PERFECT for settled in state.settled)
    more = max(1, min(jury, LEAST_VOICES) - made) if right else 1
    if task.held is None or right >= jury or made + more > task.settings.attempts:
        return False
    return task.effort.spent(state.history) * (1.0 + more / made) <= 1.0


def together(task: SearchTask, settled: tuple[Settled, ...]) -> tuple[Settled, ...]:
    """The attempts and, where none is right on all validation data, the program over the columns of all of them."""
    if len(settled) < 2 or max(one.score for one in settled) >= PERFECT:
        return settled
    pool = settled[0].pool
    for one in settled[1:]:
        pool = united(pool, one.pool)
    pool = solve_dictionary(task, pool, task.problem.rho, float("inf")).pool
    return *settled, _scored(task, slim(task, pool) if task.settings.slim else pool.take(pool.weighty))


def chosen(task: SearchTask, settled: tuple[Settled, ...], seed: int) -> SearchDictionary:
    """That with the best validation score; of equals the one that agrees most with the others, then the smallest.

    Agreement is on training sequences taken apart and put together anew: inputs of the same kind without labels.
    Networks that have learned the same rule err there each in its own way, if at all.
    """
    best = max(one.score for one in settled)
    equals = [i for i, one in enumerate(settled) if one.score == best]
    voices = [0.0] * len(settled)
    if len(equals) > 1 and len(settled) >= LEAST_VOICES:
        voices = _agreement(task, [one.pool for one in settled], seed)
    return settled[max(equals, key=lambda i: (voices[i], -len(settled[i].pool)))].pool


def _scored(task: SearchTask, pool: SearchDictionary) -> Settled:
    return Settled(pool, 0.0 if task.held is None else task.held.score(pool))


def _agreement(task: SearchTask, pools: list[SearchDictionary], seed: int) -> list[float]:
    """For each pool's network the mean share of answers that it has in common with the others."""
    every_step = task.variation.architecture.every_step
    shown = recombined(task.problem.input, every_step=every_step, generator=torch.Generator().manual_seed(seed))
    size = max(1, STEPS_AT_ONCE // shown.n_steps)
    answers: list[list[Tensor]] = [[] for _ in pools]
    for first in range(0, len(shown), size):
        part = shown.take(slice(first, first + size))
        runner = task.runner.over(prefixes_of(part, every_step=every_step))
        for pool, given in zip(pools, answers, strict=True):
            given.append(decide(pool.outputs(part, runner), task.problem.loss.heads))
    whole = [torch.cat(given) for given in answers]
    alike = torch.tensor([[float((a == b).double().mean()) for b in whole] for a in whole], dtype=torch.float64)
    return alike.mean(dim=1).tolist()
