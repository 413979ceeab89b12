"""Exact training along several betas, all over one enumeration."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from convexsnn.bounds import NetworkFamily
from convexsnn.estimators.examples import Examples
from convexsnn.exact import ExactSettings, enumerate_patterns_of, solve_exactly
from convexsnn.penalties import PENALTIES
from convexsnn.program import ConvexProgram
from convexsnn.selection import PATH_POINTS, PATH_RATIO, Betas, PathPoint, TrainedPath
from convexsnn.simulation import scores
from convexsnn.solvers import Status
from convexsnn.solvers.path import largest_rho, rho_grid
from convexsnn.training import Observer, ProgramSettings
from convexsnn.validation import Score, Validation


def train_exact_path(
    examples: Examples,
    settings: ProgramSettings,
    family: NetworkFamily,
    how: ExactSettings,
    betas: Betas,
    score: Score,
    validation: Validation | None,
    observer: Observer,
) -> TrainedPath:
    """Train to global optimality for every beta from the largest to the smallest, and pick one by its validation score.

    As `selection.train_path`, but every beta has neurons of its own, and each record's certificate the scope "global".

    Raises
    ------
    ValueError
        When exact training would cost too much; for the betas of "path" with method "pricing", which knows no level at
        which weights begin.
    """
    weights = torch.from_numpy(examples.row_weights / examples.row_weights.sum())
    arrangement = None
    if how.method == "arrangement":
        outputs = examples.targets.shape[1]
        arrangement = enumerate_patterns_of(family, examples.sequences, how, outputs, observer)
    if betas is None:
        if arrangement is None:
            raise ValueError("beta must be numbers, not 'path', for exact training by method 'pricing'")
        loss, penalty = settings.loss_function, PENALTIES[settings.penalty]
        program = ConvexProgram(arrangement.columns, examples.targets, loss, penalty, 1.0, weights)
        per_rho = math.sqrt(settings.width_for(1))
        grid = rho_grid(program, PATH_POINTS + 1, PATH_RATIO)[1:] if largest_rho(program) > 0.0 else (1.0 / per_rho,)
        betas = tuple(per_rho * rho for rho in grid)
    points: list[PathPoint] = []
    picked = None
    for i, beta in enumerate(betas, start=1):
        if len(betas) > 1:
            observer.begin(f"beta {beta:.3g} ({i} of {len(betas)})")
        trained = solve_exactly(
            examples.sequences,
            examples.targets,
            replace(settings, beta=beta),
            family,
            weights,
            method=how.method,
            limit=how.limit,
            time_limit=how.time_limit,
            arrangement=arrangement,
            observer=observer,
        )
        measured = score(scores(trained.network, examples.sequences))
        validated = None if validation is None else validation.score(scores(trained.network, validation.sequences))
        point = PathPoint(
            beta=beta,
            train_score=measured if math.isfinite(measured) else None,
            validation_score=validated if validated is not None and math.isfinite(validated) else None,
            seconds=trained.seconds["solve"],
            status=trained.status,
            certificate=trained.certificate,
        )
        points.append(point)
        if picked is None or point.beats(picked[0]):
            picked = point, trained
        if trained.status is Status.INTERRUPTED:
            break
    assert picked is not None
    return TrainedPath(picked[1], picked[0].beta, tuple(points))
