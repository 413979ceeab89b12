"""The dual-guided search: solve, price, add, drop, again (theory.md section 5)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from convexsnn.certificate import relative_gap
from convexsnn.checks import check_integer
from convexsnn.network import Hidden
from convexsnn.penalties import PENALTIES
from convexsnn.readouts import Membrane, Spike
from convexsnn.search.ascent import Ascent
from convexsnn.search.attempts import chosen, is_worth_another, settle, together
from convexsnn.search.checkpoint import identity, read_checkpoint, write_checkpoint
from convexsnn.search.effort import Effort
from convexsnn.search.history import Round
from convexsnn.search.pool import Pool, pool_of
from convexsnn.search.prefixes import prefixes_of
from convexsnn.search.rounds import advance, begin, begin_again, lower
from convexsnn.search.rows import merged_rows
from convexsnn.search.settings import SearchSettings
from convexsnn.search.space import Space, input_scale
from convexsnn.search.state import INTERRUPTED, Held, Searched, State, Task
from convexsnn.sequences import Sequences
from convexsnn.surrogate import Problem
from convexsnn.training import ProgramSettings
from convexsnn.validation import Validation
from convexsnn.witnesses.architecture import Architecture

# Share of the effort kept for the last stage. A small rho is content with columns that learn its rows by
# heart, and the dual vector then asks for no others: what generalises is found before.
LAST_SHARE = 0.2
# Rounds in a row without help after which a stage that is not the last ends.
STAGE_PATIENCE = 3


def search(
    architecture: Architecture,
    sequences: Sequences,
    targets: Tensor,
    row_weights: Tensor,
    program: ProgramSettings,
    settings: SearchSettings | None = None,
    *,
    seed: int = 0,
    given: Hidden | None = None,
    validation: Validation | None = None,
    on_round: Callable[[Round], None] | None = None,
    checkpoint: str | Path | None = None,
) -> Searched:
    """Find the neurons worth having: columns that lower the objective, priced by the dual vector of the program.

    Each round solves the program over the columns found so far, looks for branches whose columns have a score
    Omega*(d^T U) / rho above 1 (those, and only those, lower the objective), adds the best and drops what has no
    weight. The objective never rises. rho is that of `program` for `architecture.last` neurons throughout.

    Parameters
    ----------
    architecture : Architecture
        Neuron, reset, threshold, leak, recurrence, bias, depth, readout and rows of the branches to look at; of its
        numbers of neurons only `last` counts, and that for rho alone.
    sequences : Sequences
    targets : float64 tensor of shape (rows, C)
    row_weights : float64 tensor of shape (rows,)
        Summing to one.
    program : ProgramSettings
    settings : SearchSettings, optional
    seed : int
    given : Hidden, optional
        Witnesses of any other family to begin from.
    validation : Validation, optional
        Scored after each round for the record; at the end columns that it does not miss are left out (`slim`).
    on_round : callable (Round), optional
    checkpoint : path, optional
        A file written after every round. When it is there already, the search goes on from it and ends as an
        uninterrupted one would have.

    Returns
    -------
    Searched
        After Ctrl-C the best so far.

    Raises
    ------
    ValueError
        For readouts other than "spike" and "membrane", which the search's simulator does not know; when `given` has
        another readout, rows or dtype; when the checkpoint is damaged, or of another search.
    """
    settings = settings or SearchSettings()
    check_integer("seed", seed, minimum=0)
    given = _given(architecture, given)
    task = _task(architecture, sequences, targets, row_weights, program, settings, validation)
    of = "" if checkpoint is None else identity(task, given, seed)
    if checkpoint is not None and Path(checkpoint).exists():
        state = read_checkpoint(checkpoint, of)
    else:
        random = torch.Generator().manual_seed(seed).get_state()
        state = begin(task, _first(task, given), random)
    # Seconds are counted over all sittings.
    started = time.perf_counter() - state.history[-1].seconds
    try:
        _tell(on_round, state)
        while True:
            if (stopped := _why_stop(task, state)) is None:
                over = _stage_is_over(task, state)
                state = lower(task, state, state.stage + 1, started) if over else advance(task, state, started)
            else:
                if state.stage < task.last_stage:
                    state = lower(task, state, task.last_stage, started)
                    _tell(on_round, state)
                state = replace(state, settled=(*state.settled, settle(task, state)))
                if not is_worth_another(task, state) or not (first := _first(task, given)).is_blank:
                    break
                state = begin_again(task, first, state, started)
            if checkpoint is not None:
                write_checkpoint(checkpoint, state, of)
            _tell(on_round, state)
        pool = chosen(task, together(task, state.settled), seed)
    except KeyboardInterrupt:
        pool, stopped = (chosen(task, state.settled, seed) if state.settled else state.pool), INTERRUPTED
    return Searched(pool.to_network(), state.history, stopped)


def _first(task: Task, given: Hidden) -> Pool:
    """What every attempt begins with."""
    return pool_of(given, task.sequences, task.rows.groups.first, task.rows.targets.shape[1])


def _tell(on_round: Callable[[Round], None] | None, state: State) -> None:
    if on_round is not None:
        on_round(state.history[-1])


def _given(architecture: Architecture, given: Hidden | None) -> Hidden:
    empty = architecture.hidden_of()
    if not isinstance(empty.readout, Spike | Membrane):
        raise ValueError(
            f"readout must be 'spike' or 'membrane' for a search, whose simulator reads nothing else, not "
            f"{empty.readout.name!r}"
        )
    if given is None:
        return empty
    for name in ("n_features", "readout", "every_step", "dtype"):
        wanted, has = getattr(empty, name), getattr(given, name)
        if wanted != has:
            raise ValueError(f"given must have the {name} of the architecture, {wanted!r}, but has {has!r}")
    return given


def _task(
    architecture: Architecture,
    sequences: Sequences,
    targets: Tensor,
    row_weights: Tensor,
    program: ProgramSettings,
    settings: SearchSettings,
    validation: Validation | None,
) -> Task:
    rows = merged_rows(
        sequences, targets, row_weights, every_step=architecture.every_step, dtype=architecture.torch_dtype
    )
    lif, rho = architecture.neuron == "lif", program.rho_for(architecture.last)
    scale = input_scale(rows.exact, architecture.threshold if lif else 1.0)
    space = Space(architecture, settings.width, scale, settings.free_leak and lif, settings.free_bias)
    penalty = PENALTIES[program.penalty]
    problem = Problem(sequences, targets, program.loss_function, penalty, rho, row_weights)
    effort = Effort.of(settings, rows.exact, architecture.depth - 1)
    ascent = Ascent(architecture, problem, settings, space.free_leak, effort.branch)
    held = None
    if validation is not None:
        held = Held(validation, prefixes_of(validation.sequences, every_step=architecture.every_step))
    return Task(sequences, rows, space, ascent, program, rho, settings, effort, held)


def _stage_is_over(task: Task, state: State) -> bool:
    """Whether to go on with a smaller rho: all but the last share most of the effort, and may need less."""
    if state.stage == task.last_stage:
        return False
    # Of what the attempts before have left to this one.
    before = task.effort.spent(tuple(e for e in state.history if e.attempt < state.history[-1].attempt))
    late = (task.effort.spent(state.history) - before) / (1.0 - before) >= (1.0 - LAST_SHARE) * (
        state.stage + 1
    ) / task.last_stage
    return late or state.idle >= min(STAGE_PATIENCE, task.settings.patience) or _reached(task, state)


def _reached(task: Task, state: State) -> bool:
    last = state.history[-1]
    return relative_gap(last.objective, last.global_bound) <= task.settings.tol


def _why_stop(task: Task, state: State) -> str | None:
    """Why the search is over, in words; None while it is not."""
    settings, last = task.settings, state.history[-1]
    final = state.stage == task.last_stage
    if final and _reached(task, state):
        return f"the objective is within {settings.tol:g} of what no network goes below"
    if final and state.idle >= settings.patience:
        tried = sum(entry.simulated for entry in state.history[-settings.patience :])
        return (
            f"{settings.patience} rounds in a row, of {tried} branches, lowered the objective by less than "
            f"{settings.min_drop:g} of it"
        )
    if last.number >= settings.rounds:
        return f"{settings.rounds} rounds are done"
    if task.effort.spent(state.history) >= 1.0:
        if settings.seconds is not None:
            return f"{settings.seconds:g} seconds are over"
        return f"the effort of {settings.effort:g} neuron steps is spent"
    if settings.max_columns is not None and last.support >= settings.max_columns:
        return f"{last.support} columns carry weight, of at most {settings.max_columns}"
    return None
