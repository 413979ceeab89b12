"""The dual-guided search: solve, price, add, drop, again (theory.md section 5)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from convexsnn.network import Hidden
from convexsnn.penalties import PENALTIES
from convexsnn.program import ConvexProgram
from convexsnn.search.credit import Credit
from convexsnn.search.history import Round
from convexsnn.search.oracles import ORACLES, Situation
from convexsnn.search.pool import Pool, admit, pool_of
from convexsnn.search.population import Population, join
from convexsnn.search.pricing import Pricing, take_best
from convexsnn.search.rows import Rows, merged_rows
from convexsnn.search.settings import SearchSettings
from convexsnn.search.space import Space, input_scale
from convexsnn.sequences import Sequences
from convexsnn.simulation import scores
from convexsnn.solvers import SolverOptions, solve
from convexsnn.training import ProgramSettings
from convexsnn.validation import Validation
from convexsnn.witnesses import Architecture


@dataclass(frozen=True, eq=False)
class Task:
    """What is searched for; all that does not change from round to round.

    Attributes
    ----------
    rows : Rows
    space : Space
    program : ProgramSettings
    rho : float
    settings : SearchSettings
    validation : Validation or None
    """

    rows: Rows
    space: Space
    program: ProgramSettings
    rho: float
    settings: SearchSettings
    validation: Validation | None


@dataclass(frozen=True, eq=False)
class State:
    """All of a search between two rounds.

    Attributes
    ----------
    pool : Pool
    U : float64 tensor of shape (merged rows, C)
        The dual vector of the pool's program.
    kept : dict of str to Population
        What oracles keep from round to round.
    credit : Credit
    generator : torch.Generator
        Of all that is drawn from here on.
    history : tuple of Round
    idle : int
        Rounds in a row that did not help.
    """

    pool: Pool
    U: Tensor
    kept: dict[str, Population]
    credit: Credit
    generator: torch.Generator
    history: tuple[Round, ...]
    idle: int = 0


@dataclass(frozen=True, eq=False)
class Searched:
    """What a search found.

    Attributes
    ----------
    hidden : Hidden
        The neurons whose columns carry weight.
    history : tuple of Round
    stopped : str
        Why it ended, in words.
    """

    hidden: Hidden
    history: tuple[Round, ...] = field(repr=False)
    stopped: str


OnRound = Callable[[Round], None]


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
    on_round: OnRound | None = None,
) -> Searched:
    settings = settings or SearchSettings()
    given = given or Hidden(
        architecture.n_features, (), architecture.readout, architecture.every_step, architecture.torch_dtype
    )
    rows = merged_rows(
        sequences, targets, row_weights, every_step=architecture.every_step, dtype=architecture.torch_dtype
    )
    space = Space(
        architecture,
        settings.width,
        input_scale(rows.exact, architecture.threshold if architecture.neuron == "lif" else 1.0),
        settings.free_leak and architecture.neuron == "lif",
        settings.free_bias,
    )
    task = Task(rows, space, program, program.rho_for(architecture.last), settings, validation)
    state = _begin(task, pool_of(given, sequences, rows.groups.first, targets.shape[1]), seed)
    started = time.perf_counter()
    while (stopped := _why_stop(task, state)) is None:
        if on_round is not None:
            on_round(state.history[-1])
        state = advance(task, state, started)
    if on_round is not None:
        on_round(state.history[-1])
    return Searched(state.pool.to_network().hidden, state.history, stopped)


def _begin(task: Task, pool: Pool, seed: int) -> State:
    """The state before the first round: the given dictionary, solved."""
    began = time.perf_counter()
    pool, U, objective, dual = _solve(task, pool, float("inf"))
    first = _note(task, pool, U, Findings(0.0, {}, 0), (objective, dual), 0, time.perf_counter() - began)
    names = task.settings.oracles
    return State(pool, U, {}, Credit.equal(names), torch.Generator().manual_seed(seed), (first,))


def _why_stop(task: Task, state: State) -> str | None:
    settings, last = task.settings, state.history[-1]
    if state.idle >= settings.patience:
        tried = sum(entry.simulated for entry in state.history[-settings.patience :])
        return (
            f"{settings.patience} rounds ({tried} branches) in a row lowered the objective by less than "
            f"{settings.min_drop:g} of it; largest score over rho {last.best_score:.3g}"
        )
    if last.number >= settings.rounds:
        return f"{settings.rounds} rounds are done"
    if settings.seconds is not None and last.seconds >= settings.seconds:
        return f"{settings.seconds:g} seconds are over"
    if settings.max_columns is not None and last.support >= settings.max_columns:
        return f"{last.support} columns carry weight, of at most {settings.max_columns}"
    return None


@dataclass(frozen=True)
class Findings:
    """What pricing found in a round: the largest score, columns admitted by oracle, branches simulated."""

    best_score: float
    admitted: dict[str, int]
    simulated: int


def advance(task: Task, state: State, started: float) -> State:
    """One round."""
    pricing = Pricing(task.rows.fast, (state.U / task.rho).to(torch.float32), PENALTIES[task.program.penalty])
    before = state.history[-1]
    pool, kept, scores, simulated = _find(task, state, pricing)
    found = range(len(state.pool), len(pool))
    pool, U, objective, dual = _solve(task, pool, before.objective)
    names = task.settings.oracles
    gains = dict.fromkeys(names, 0.0)
    admitted = dict.fromkeys(names, 0)
    size = PENALTIES[task.program.penalty].row_norms(pool.W)
    for j in found:
        name = names[int(pool.origin[j])]
        admitted[name] += 1
        gains[name] += float(size[j]) * scores[j - len(state.pool)]
    pool = pool.take(pool.idle <= task.settings.drop_after)
    findings = Findings(max(scores, default=0.0), admitted, sum(simulated.values()))
    seconds = time.perf_counter() - started
    entry = _note(task, pool, U, findings, (objective, dual), before.number + 1, seconds)
    helped = before.objective - objective > task.settings.min_drop * abs(before.objective)
    return State(
        pool,
        U,
        kept,
        state.credit.after(gains, simulated),
        state.generator,
        (*state.history, entry),
        0 if helped else state.idle + 1,
    )


def _find(
    task: Task, state: State, pricing: Pricing
) -> tuple[Pool, dict[str, Population], list[float], dict[str, int]]:
    """Ask the oracles, and admit the best columns of all."""
    settings, pool = task.settings, state.pool
    situation = Situation(task.space, pricing, pool.network, settings.population, settings.generations)
    names = [name for name in settings.oracles if ORACLES[name].applies(situation)]
    shares = state.credit.shares(names)
    kept, simulated = dict(state.kept), {}
    candidates: list[tuple[str, Population]] = []
    for name in names:
        effort = max(1, round(shares[name] * settings.generations))
        proposal = ORACLES[name].propose(
            replace(situation, effort=effort), state.kept.get(name), state.generator
        )
        if proposal.kept is not None:
            kept[name] = proposal.kept
        simulated[name] = proposal.simulated
        candidates.append((name, proposal.candidates))
    merged = join(*(population for _, population in candidates))
    origin = torch.tensor([settings.oracles.index(name) for name, part in candidates for _ in range(len(part))])
    owner, neuron, scores = take_best(merged, pricing, settings.add)
    larger, taken = admit(pool, merged, owner, neuron, origin[owner], task.rows.exact)
    return larger, kept, scores[taken].tolist(), simulated


def _solve(task: Task, pool: Pool, limit: float) -> tuple[Pool, Tensor, float, float]:
    """The pool with its best weights, a dual vector, the objective (at most `limit`) and a lower bound."""
    program = task.rows.program(pool.columns, task.program, task.rho)
    if len(pool) == 0:
        U = program.data_gradient(torch.zeros_like(program.targets))
        return pool, U, float(program.data_term(torch.zeros_like(program.targets))), program.dual(U)
    solution = solve(program, SolverOptions(task.settings.tol, task.program.max_iter), pool.W)
    certificate, U = solution.certificate, solution.U
    if certificate.primal < limit:
        return pool.solved(solution.W), U, certificate.primal, certificate.dual
    # Solved to a tolerance only: the weights before were as good.
    return pool.solved(pool.W), U, limit, certificate.dual


def _note(
    task: Task, pool: Pool, U: Tensor, findings: Findings, values: tuple[float, float], number: int, seconds: float
) -> Round:
    program = task.rows.program(pool.columns, task.program, task.rho)
    return Round(
        number=number,
        objective=values[0],
        dual=values[1],
        universal_bound=universal_bound(program, task.rows.exact.gather(U)),
        columns=len(pool),
        support=int(pool.weighty.sum()),
        best_score=findings.best_score,
        admitted=findings.admitted,
        simulated=findings.simulated,
        validation_score=None if task.validation is None else _score(task.validation, pool),
        seconds=seconds,
    )


def universal_bound(program: ConvexProgram, at_prefixes: list[Tensor]) -> float:
    return float("nan")


def _score(validation: Validation, pool: Pool) -> float:
    """Score of the pool's weights on other sequences."""
    return validation.score(scores(pool.to_network(), validation.sequences).cpu())
