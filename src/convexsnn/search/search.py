"""The dual-guided search: solve, price, add, drop, again (theory.md section 5)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from convexsnn.caller import isolated, paced
from convexsnn.checkpoints import resuming
from convexsnn.checks import check_choice, check_integer
from convexsnn.network import Hidden
from convexsnn.penalties import require_norm
from convexsnn.prefixes import prefixes_of
from convexsnn.problem import Problem
from convexsnn.program import check_penalised
from convexsnn.ranks import Ranks, check_alike
from convexsnn.search.branches.runner import BranchRunner
from convexsnn.search.branches.variation import Variation, input_scale
from convexsnn.search.checkpoint import read_state, search_identity, write_state
from convexsnn.search.dictionary import SearchDictionary, dictionary_of
from convexsnn.search.effort import Effort
from convexsnn.search.endings.attempts import chosen, current, is_worth_another, settle, together
from convexsnn.search.history import Round
from convexsnn.search.oracles import ORACLES
from convexsnn.search.rounds import advance, begin, begin_again, lower
from convexsnn.search.settings import SearchSettings
from convexsnn.search.state import INTERRUPTED, SEARCHING, Held, Searched, SearchState, SearchTask

# Share of the effort kept for the last stage. A small rho is content with columns that learn its rows by
# heart, and the dual vector then asks for no others: what generalises is found before.
LAST_SHARE = 0.2
# Rounds in a row without help after which a stage that is not the last ends.
STAGE_PATIENCE = 3


@isolated
@paced(lambda problem, settings=None, **_: len(problem.targets) * (settings or SearchSettings()).n_simulated)
def search(
    problem: Problem,
    settings: SearchSettings | None = None,
    *,
    seed: int = 0,
    given: Hidden | None = None,
    on_round: Callable[[Round], None] | None = None,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> Searched:
    """Find the neurons worth having: columns that lower the objective, priced by the dual vector of the program.

    Each round solves the program over the columns found so far. It then looks for branches whose columns have a score
    Omega*(d^T U) / rho above 1: only these lower the objective. It adds the best of them, and drops columns without
    weight. The result is at the rho of the problem.

    Parameters
    ----------
    problem : Problem
        What is to be learned. Its validation data are scored after each round for the record. At the end columns are
        left out as long as this score does not fall (`slim`). Where its rows are spread over ranks (`Problem.over`),
        all of which make this call, each runs a share of the branches, and all find the same network.
    settings : SearchSettings, optional
    seed : int
    given : Hidden, optional
        Witnesses of any other family, with which the search begins.
    on_round : callable (Round), optional
    checkpoint : path, optional
        A file written after every round. When it is there already, the search goes on from it and ends as an
        uninterrupted one would have, on any number of ranks. The first of them writes.
    device : str or torch.device
        Where branches are scored, the "cpu" or a GPU. All else is done on the CPU.

    Returns
    -------
    Searched
        The network that was found. After Ctrl-C it is the best so far.

    Raises
    ------
    ValueError
        When the penalty is no norm; when `given` has another readout, rows or dtype, or sees input that the settings
        standardise or delay; when the checkpoint is damaged, or of another search.
    """
    settings = settings or SearchSettings()
    check_oracles(settings)
    check_integer("seed", seed, minimum=0)
    require_norm(problem.penalty, SEARCHING)
    ranks = problem.ranks
    if settings.seconds is not None and ranks.size > 1:
        raise ValueError("seconds go by the clock of one process: limit a search on several by effort or rounds")
    check_penalised(problem, SEARCHING)
    given = _given(settings, problem, given)
    view = problem.view(standardise=settings.standardise, centred=settings.delays == (0,))
    view = replace(view, delays=settings.delays)
    given = given if view.plain else view.blind(given)
    tasks = _tasks(problem.seen(view), settings, torch.device(device), ranks)
    first = _first(tasks[0], given)
    if not first.is_blank:
        tasks = tasks[:1]
    of = "" if checkpoint is None else search_identity(tasks[0].problem, settings, given, seed)
    if checkpoint is not None and Path(checkpoint).exists():
        with resuming():
            state = read_state(checkpoint, of)
    else:
        random = torch.Generator().manual_seed(seed).get_state()
        state = begin(tasks[0], first, random)
    check_alike(state.random.numpy().tobytes(), "the state that the search goes on from", ranks)
    # Seconds are counted over all sittings.
    started = time.perf_counter() - state.history[-1].seconds
    try:
        _tell(on_round, state)
        while True:
            task = current(tasks, state)
            if (stopped := _why_stop(task, state)) is None:
                over = _stage_is_over(task, state)
                state = lower(task, state, state.stage + 1, started) if over else advance(task, state, started)
            else:
                if state.stage < task.last_stage:
                    state = lower(task, state, task.last_stage, started)
                    _tell(on_round, state)
                state = replace(state, settled=(*state.settled, settle(task, state)))
                if not is_worth_another(tasks, state) or not first.is_blank:
                    break
                pruned = task.effort.trials * task.effort.branch
                state = begin_again(current(tasks, state), first, state, started, pruned)
            if checkpoint is not None and ranks.rank == 0:
                write_state(checkpoint, state, of)
            _tell(on_round, state)
        pool = chosen(tasks[0], together(tasks[0], state.settled), seed)
    except KeyboardInterrupt:
        pool, stopped = (chosen(tasks[0], state.settled, seed) if state.settled else state.pool), INTERRUPTED
    network = pool.to_network()
    return Searched(replace(network, hidden=view.inside(network.hidden)), state.history, stopped)


def check_oracles(settings: SearchSettings) -> None:
    """Raise ValueError on names of oracles that there are not."""
    for name in settings.oracles:
        check_choice("oracles", name, ORACLES)


def _first(task: SearchTask, given: Hidden) -> SearchDictionary:
    """What every attempt begins with."""
    return dictionary_of(given, task.problem.input, task.rows.groups.first, task.problem.n_outputs)


def _tell(on_round: Callable[[Round], None] | None, state: SearchState) -> None:
    if on_round is not None:
        on_round(state.history[-1])


def _given(settings: SearchSettings, problem: Problem, given: Hidden | None) -> Hidden:
    empty = settings.architecture(problem.input.n_features, every_step=problem.every_step).hidden_of()
    if given is None:
        return empty
    for name in ("n_features", "readout", "every_step", "dtype"):
        wanted, has = getattr(empty, name), getattr(given, name)
        if wanted != has:
            raise ValueError(f"given must have the {name} of the search, {wanted!r}, but has {has!r}")
    sees = any(bool(branch.layers[0].weight.any()) for branch in given.branches)
    if sees and (settings.standardise or settings.delays != (0,)):
        raise ValueError(
            "standardise and delays are for a search from nothing: given neurons see input as it is, as the search must"
        )
    return given


def _tasks(problem: Problem, settings: SearchSettings, device: torch.device, ranks: Ranks) -> tuple[SearchTask, ...]:
    """The search among branches of each shape that is tried."""
    architecture = settings.architecture(problem.input.n_features, every_step=problem.every_step)
    rows = problem.merged_rows(architecture.torch_dtype)
    scale = input_scale(rows.exact, settings.threshold if settings.neuron == "lif" else 1.0)
    held = None
    runner = BranchRunner(rows.fast, architecture.read_by, architecture.torch_dtype, device, ranks)
    if problem.validation is not None:
        shown = prefixes_of(problem.validation.sequences, every_step=problem.every_step)
        held = Held(problem.validation, runner.over(shown))
    tasks = []
    for tried in settings.shapes:
        architecture = tried.architecture(problem.input.n_features, every_step=problem.every_step)
        variation = Variation(architecture, tried.shape.width, scale, tried.free_leak, tried.dyadic_leaks)
        effort = Effort.of(tried, rows.exact, architecture.depth - 1, device)
        tasks.append(SearchTask(problem, rows, runner, variation, tried, effort, held))
    return tuple(tasks)


def _stage_is_over(task: SearchTask, state: SearchState) -> bool:
    """Whether to go on with a smaller rho: all but the last share most of the effort, and may need less."""
    if state.stage == task.last_stage:
        return False
    # Of what there is for this attempt.
    before = task.before(state)
    late = (task.effort.spent(state.history) - before) / (task.end - before) >= (1.0 - LAST_SHARE) * (
        state.stage + 1
    ) / task.last_stage
    return late or state.idle >= min(STAGE_PATIENCE, task.settings.patience) or task.reached(state)


def _why_stop(task: SearchTask, state: SearchState) -> str | None:
    """Why the search is over, in words; None while it is not."""
    settings, last = task.settings, state.history[-1]
    final = state.stage == task.last_stage
    if final and task.reached(state):
        return f"the objective is within {settings.round_tol:g} of what no network goes below"
    if final and state.idle >= settings.patience:
        tried = sum(entry.simulated for entry in state.history[-settings.patience :])
        return (
            f"{settings.patience} rounds in a row, of {tried} branches, lowered the objective by less than "
            f"{settings.min_drop:g} of it"
        )
    if last.number >= settings.rounds:
        return f"{settings.rounds} rounds are done"
    if task.effort.spent(state.history) >= task.end:
        if settings.seconds is not None:
            return f"{settings.seconds:g} seconds are over"
        return f"the effort of {task.effort.total:g} neuron steps is spent"
    if settings.max_columns is not None and last.support >= settings.max_columns:
        return f"{last.support} columns carry weight, of at most {settings.max_columns}"
    return None
