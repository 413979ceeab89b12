"""Several attempts of a search: which shape each has, when to begin another, and what to keep of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
# What an attempt has of the effort that is left, where another shape is still to be tried. Three attempts of this size
# fit into the effort, so that there may be a majority of attempts that are right on all validation data.
EARLY_SHARE = 1.0 / 3.0
# Of probes: a dictionary of all their rows would be larger than that of the training data.
STEPS_AT_ONCE = 200_000


def settle(task: SearchTask, state: SearchState) -> Settled:
    """The result of an attempt, with fewer columns where the validation score does not fall, and fewer connections."""
    pool = slim(task, state.pool) if task.settings.slim else state.pool
    pool = prune(task, pool, task.effort.trials, state.generator)
    return _scored(task, pool, state.history[-1].objective)


def shapes_of(scores: Sequence[float], count: int) -> list[int]:
    """Numbers of the shapes of attempts with these scores, and of the attempt after them.

    Each of `count` shapes is tried once, until one is right on all validation data. Further attempts have the shape
    that has scored best.
    """
    numbers = [0]
    for made in range(1, len(scores) + 1):
        best = max(range(made), key=scores.__getitem__)
        numbers.append(made if made < count and scores[best] < PERFECT else numbers[best])
    return numbers


def current(tasks: Sequence[SearchTask], state: SearchState) -> SearchTask:
    """The search among branches of the current attempt's shape, as far as the attempt goes.

    Where another shape is still to be tried, it has a share of what the attempts before have left.
    """
    task = tasks[shapes_of([one.score for one in state.settled], len(tasks))[-1]]
    others = _untried(tasks, state.settled) - 1
    if others <= 0:
        return task
    before = task.before(state)
    left = 1.0 - before - others * task.effort.last_step
    return replace(task, end=before + EARLY_SHARE * left)


def is_worth_another(tasks: Sequence[SearchTask], state: SearchState) -> bool:
    """Whether to begin again from nothing: attempts that all learned the rows may differ in their validation score.

    Where one is right on all of them, others are only begun if they suffice for a majority. Shapes that are still to be
    tried have effort of their own, unless the objective cannot be lower.
    """
    task, made, spent = tasks[0], len(state.settled), tasks[0].effort.spent(state.history)
    if _untried(tasks, state.settled):
        return spent < 1.0 and (task.held is not None or not task.reached(state))
    right, jury = sum(settled.score >= PERFECT for settled in state.settled), task.settings.jury
    more = max(1, min(jury, LEAST_VOICES) - made) if right else 1
    if task.held is None or right >= jury or made + more > task.settings.attempts:
        return False
    return spent * (1.0 + more / made) <= 1.0


def together(task: SearchTask, settled: tuple[Settled, ...]) -> tuple[Settled, ...]:
    """The attempts and, where none is right on all validation data, what all their columns give, if better."""
    best = max(one.score for one in settled)
    if len(settled) < 2 or best >= PERFECT:
        return settled
    pool = settled[0].pool
    for one in settled[1:]:
        pool = united(pool, one.pool)
    solved = solve_dictionary(task, pool, task.problem.rho, float("inf"))
    fewer = slim(task, solved.pool) if task.settings.slim else solved.pool
    both = _scored(task, fewer.take(fewer.weighty), solved.objective)
    return (*settled, both) if both.score > best else settled


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


def _untried(tasks: Sequence[SearchTask], settled: Sequence[Settled]) -> int:
    """How many shapes are still to be tried after the settled attempts."""
    if any(one.score >= PERFECT for one in settled):
        return 0
    return max(0, min(len(tasks), tasks[0].settings.attempts) - len(settled))


def _scored(task: SearchTask, pool: SearchDictionary, objective: float) -> Settled:
    return Settled(pool, -objective if task.held is None else task.held.score(pool))


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
