"""Fewer columns for the same validation score: the last choice of a search that has validation data."""

from __future__ import annotations

import numpy as np

from convexsnn.search.dictionary import SearchDictionary
from convexsnn.search.rounds import solve_dictionary
from convexsnn.search.state import SearchTask
from convexsnn.solvers import SolverOptions, Status
from convexsnn.solvers.path import solve_path

# Multiples of rho whose supports are tried, besides that of rho itself.
LARGEST, POINTS = 100.0, 8


def slim(task: SearchTask, pool: SearchDictionary) -> SearchDictionary:
    """The fewest of the pool's columns that score best on the validation data.

    The supports along a path of falling rho are tried, each with the weights that are optimal for the search's own rho
    on these columns alone: so a large rho chooses columns, but does not shrink what they weigh. Without validation data
    the pool is returned as it is.
    """
    held = task.held
    if held is None or len(pool) == 0:
        return pool
    options = SolverOptions(task.settings.round_tol)
    program = task.program(pool.columns, task.problem.rho)
    rhos = (task.problem.rho * np.geomspace(LARGEST, 1.0, POINTS + 1)[:-1]).tolist()
    best, best_score = pool.take(pool.weighty), held.score(pool)
    solutions = list(solve_path(program, rhos, options))
    if any(solution.status is Status.INTERRUPTED for solution in solutions):
        raise KeyboardInterrupt
    for solution in reversed(solutions):
        few = pool.take(solution.W.any(dim=1))
        if not 0 < len(few) < len(best):
            continue
        debiased = solve_dictionary(task, few, task.problem.rho, float("inf")).pool
        few = debiased.take(debiased.weighty)
        score = held.score(few)
        # From the most columns to the fewest: of equal scores the later one wins.
        if score >= best_score:
            best, best_score = few, score
    return best
