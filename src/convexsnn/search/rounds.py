"""One round of a search: price, add, solve, drop."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.bounds.universal import bound_of, universal_bound
from convexsnn.ranks import made_in_shares
from convexsnn.search.branches.population import Population, join_populations
from convexsnn.search.branches.pricing import DualPricing, take_best
from convexsnn.search.dictionary import SearchDictionary, admit, admit_hidden
from convexsnn.search.history import Round
from convexsnn.search.oracles import ORACLES, Proposal, Situation
from convexsnn.search.oracles.credit import Credit
from convexsnn.search.patterns import patterns_of
from convexsnn.search.state import SearchState, SearchTask
from convexsnn.solvers import SolverOptions, Status, solve

# The bound on all networks hardly changes from round to round, and takes its time where there are several outputs.
BOUND_EVERY = 4


@dataclass(frozen=True, eq=False)
class RoundFindings:
    """What pricing came to.

    Attributes
    ----------
    pool : SearchDictionary
        With the columns admitted at its end.
    scores : tuple of float
        Of the columns admitted.
    best_score : float
        Of all that were looked at.
    kept : dict of str to Population
    simulated : dict of str to int
        Branches run, by oracle.
    """

    pool: SearchDictionary
    scores: tuple[float, ...]
    best_score: float
    kept: dict[str, Population]
    simulated: dict[str, int]


@dataclass(frozen=True, eq=False)
class Solved:
    """The pool with its best weights, a dual vector, the objective and a lower bound on it."""

    pool: SearchDictionary
    U: Tensor
    rho: float
    objective: float
    dual: float


def begin(task: SearchTask, pool: SearchDictionary, random: Tensor) -> SearchState:
    """The state before the first round: the given dictionary, solved."""
    began = time.perf_counter()
    # A larger rho would drop what was given, and is of use only where nothing was.
    stage = 0 if pool.is_blank else task.last_stage
    solved = solve_dictionary(task, pool, task.rho_at(stage), float("inf"))
    entry = _note(task, solved, _nothing(pool), {}, None, time.perf_counter() - began)
    return SearchState(solved.pool, solved.U, {}, Credit.equal(task.settings.oracles), random, (entry,), stage=stage)


def begin_again(
    task: SearchTask, pool: SearchDictionary, state: SearchState, started: float, pruned: int
) -> SearchState:
    """Another attempt from the dictionary that the search began with; chance goes on.

    The last step of the attempt before took `pruned` neuron steps.
    """
    first, before = begin(task, pool, state.random), state.history[-1]
    entry = replace(
        first.history[0],
        number=before.number + 1,
        seconds=time.perf_counter() - started,
        attempt=before.attempt + 1,
        steps=pruned,
    )
    return replace(first, history=(*state.history, entry), settled=state.settled)


def lower(task: SearchTask, state: SearchState, stage: int, started: float) -> SearchState:
    """A later stage: the same dictionary, solved for a smaller rho."""
    solved = solve_dictionary(task, state.pool, task.rho_at(stage), float("inf"))
    entry = _note(task, solved, _nothing(state.pool), {}, state.history[-1], time.perf_counter() - started)
    return replace(state, pool=solved.pool, U=solved.U, history=(*state.history, entry), idle=0, stage=stage)


def advance(task: SearchTask, state: SearchState, started: float) -> SearchState:
    """One round; `started` is the time at which the search began, on the clock of `time.perf_counter`."""
    generator, before, names = state.generator, state.history[-1], task.settings.oracles
    found = _find(task, state, generator)
    solved = solve_dictionary(task, found.pool, before.rho, before.objective)
    gains, admitted = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    size = task.norm.row_norms(solved.pool.W)
    for j, score in enumerate(found.scores, start=len(state.pool)):
        name = names[int(solved.pool.origin[j])]
        admitted[name] += 1
        # To first order, what a column's weight has lowered the objective by.
        gains[name] += float(size[j]) * (score - 1.0)
    kept = solved.pool.take(solved.pool.idle <= task.settings.drop_after)
    solved = replace(solved, pool=kept)
    entry = _note(task, solved, found, admitted, before, time.perf_counter() - started)
    helped = before.objective - solved.objective > task.settings.min_drop * abs(before.objective)
    return replace(
        state,
        pool=kept,
        U=solved.U,
        kept=found.kept,
        credit=state.credit.after(gains, found.simulated),
        random=generator.get_state(),
        history=(*state.history, entry),
        idle=0 if helped else state.idle + 1,
    )


def _nothing(pool: SearchDictionary) -> RoundFindings:
    return RoundFindings(pool, (), 0.0, {}, {})


def _find(task: SearchTask, state: SearchState, generator: torch.Generator) -> RoundFindings:
    """Ask every oracle that applies, and admit the best columns of all."""
    settings, pool = task.settings, state.pool
    pricing = DualPricing(task.runner, (state.U / task.rho_at(state.stage)).to(torch.float32), task.norm)
    sample = pricing.sampled(task.effort.rows, generator) if task.effort.rows < len(pricing.U) else pricing
    left = (task.end - task.effort.spent(state.history)) * task.effort.simulations
    situation = Situation(
        task.problem,
        settings,
        task.variation,
        pricing,
        sample,
        task.effort.population,
        pool.network,
        task.effort.branch,
        left,
        len(state.history),
    )
    names = [name for name in settings.oracles if ORACLES[name].applies(situation)]
    if not names:
        return _nothing(pool)
    shares = state.credit.shares(names)
    kept, proposals = dict(state.kept), {}
    for name in names:
        effort = max(1, round(shares[name] * task.effort.generations))
        proposal = ORACLES[name].propose(situation, effort, state.kept.get(name), generator)
        if proposal is None:
            continue
        proposals[name] = proposal
        if proposal.kept is not None:
            kept[name] = proposal.kept
    simulated = {name: proposal.simulated for name, proposal in proposals.items()}
    pool, taken, best = _admit_best(task, pool, pricing, proposals)
    return RoundFindings(pool, tuple(taken), max([best, *taken]), kept, simulated)


def _admit_best(
    task: SearchTask, pool: SearchDictionary, pricing: DualPricing, proposals: dict[str, Proposal]
) -> tuple[SearchDictionary, list[float], float]:
    """The dictionary with the best columns proposed, their scores, and the best score of all small branches."""
    names, taken, best = task.settings.oracles, [], 0.0
    for name, proposal in proposals.items():
        if proposal.hidden is not None:
            number = names.index(name)
            pool, scored = admit_hidden(pool, proposal.hidden, number, task.problem.input, task.rows, pricing)
            taken += scored
    small = {name: proposal.candidates for name, proposal in proposals.items() if proposal.candidates is not None}
    if small:
        merged = join_populations(*small.values())
        numbers = [names.index(name) for name, population in small.items() for _ in range(len(population))]
        owner, place, best = take_best(merged, pricing, task.settings.add)
        before = len(pool)
        pool = admit(pool, merged, owner, place, torch.tensor(numbers)[owner], task.rows.exact, task.runner.ranks)
        new = pool.columns.take(torch.arange(before, len(pool)))
        taken += pricing.of_columns(patterns_of(new)).tolist()
    return pool, taken, best


def solve_dictionary(task: SearchTask, pool: SearchDictionary, rho: float, limit: float) -> Solved:
    """Solve the program over the pool's columns; the objective is at most `limit`, that of its weights so far.

    Raises KeyboardInterrupt where the solver was interrupted.
    """
    program = task.program(pool.columns, rho)
    if len(pool) == 0:
        nothing = torch.zeros_like(program.targets)
        U = program.data_gradient(nothing)
        return Solved(pool, U, rho, float(program.data_term(nothing)), program.data_dual(U))
    solution = solve(program, SolverOptions(task.settings.round_tol), pool.W)
    if solution.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    certificate = solution.certificate
    if certificate.primal < limit:
        return Solved(pool.solved(solution.W), solution.U, rho, certificate.primal, certificate.dual)
    # Solved to a tolerance only: the weights before are as good.
    return Solved(pool.solved(pool.W), solution.U, rho, limit, certificate.dual)


def _bound(task: SearchTask, solved: Solved, cap: float, anew: bool) -> float:
    """What no network goes below, by the dual vector of the pool; and by those of the data alone, where rho is `anew`.

    The latter are the same in all rounds at one rho. Ranks share these vectors.
    """
    program, groups = task.program(solved.pool.columns, solved.rho), task.rows.exact.node_of_row
    proofs = [lambda: bound_of(program, groups, solved.U, cap)]
    if anew:
        proofs.append(lambda: universal_bound(program, groups, largest=cap).value)

    def proved(share: slice) -> Tensor:
        return torch.tensor([proof() for proof in proofs[share]], dtype=torch.float64)

    return float(made_in_shares(len(proofs), proved, task.runner.ranks).max())


def _note(
    task: SearchTask,
    solved: Solved,
    found: RoundFindings,
    admitted: dict[str, int],
    before: Round | None,
    seconds: float,
) -> Round:
    pool = solved.pool
    number = 0 if before is None else before.number + 1
    anew = before is None or before.rho != solved.rho
    known = -math.inf if before is None or anew else before.global_bound
    if (anew or number % BOUND_EVERY == 0) and (cap := task.cap) is not None:
        known = max(known, _bound(task, solved, cap, anew))
    simulated = sum(found.simulated.values())
    return Round(
        number=number,
        rho=solved.rho,
        objective=solved.objective,
        dual=solved.dual,
        global_bound=known,
        columns=len(pool),
        support=int(pool.weighty.sum()),
        best_score=found.best_score,
        admitted=admitted,
        simulated=simulated,
        validation_score=None if task.held is None else task.held.score(pool),
        seconds=seconds,
        attempt=1 if before is None else before.attempt,
        steps=simulated * task.effort.branch,
    )
