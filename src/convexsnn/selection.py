"""A path of betas over one simulation, and the pick of one of them by its score on validation data."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from convexsnn.certificate import Certificate
from convexsnn.checks import check_real
from convexsnn.dictionary import Dictionary, build_dictionary
from convexsnn.network import Hidden
from convexsnn.sequences import Sequences
from convexsnn.solvers.base import Solution, Status
from convexsnn.solvers.path import largest_rho, rho_grid, solve_path
from convexsnn.training import Observer, Prepared, ProgramSettings, Trained, prepare
from convexsnn.validation import Score, Validation

# The betas of "path": how many, and the last as a share of the level at which W = 0 is optimal.
PATH_POINTS, PATH_RATIO = 20, 1e-3

Betas = tuple[float, ...] | None
"""Betas from the largest to the smallest; None for those of `path_betas`."""


@dataclass(frozen=True)
class PathPoint:
    """What is kept of one beta.

    Attributes
    ----------
    beta : float
    train_score, validation_score : float or None
        None without such data, or where the score is not defined on them.
    seconds : float
        Of the solver.
    status : Status
        Why the solver stopped.
    certificate : Certificate
        Of this beta's own weights on the training rows.
    """

    beta: float
    train_score: float | None
    validation_score: float | None
    seconds: float
    status: Status
    certificate: Certificate

    @property
    def support(self) -> int:
        """Columns that carry weight."""
        return self.certificate.support

    def beats(self, best: PathPoint) -> bool:
        """Whether this point, of a smaller beta, scores strictly better."""
        if self.validation_score is None:
            return False
        return best.validation_score is None or self.validation_score > best.validation_score

    def to_dict(self) -> dict[str, Any]:
        """All fields and the support as JSON has them."""
        certificate = json.loads(self.certificate.to_json())
        return vars(self) | {"status": self.status.name, "support": self.support, "certificate": certificate}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> PathPoint:
        """Inverse of `to_dict`. Raises KeyError, TypeError or ValueError on fields of wrong names or types."""
        score = lambda name: None if fields[name] is None else check_real(name, fields[name])  # noqa: E731
        return cls(
            beta=check_real("beta", fields["beta"], 0.0, open_minimum=True),
            train_score=score("train_score"),
            validation_score=score("validation_score"),
            seconds=check_real("seconds", fields["seconds"]),
            status=Status[fields["status"]],
            certificate=Certificate.from_json(json.dumps(fields["certificate"])),
        )


@dataclass(frozen=True, eq=False)
class TrainedPath:
    """The network of the picked beta, and the record of all betas.

    Attributes
    ----------
    trained : Trained
        Of the picked beta; its seconds of "solve" are those of the whole path.
    beta : float
        The picked one.
    points : tuple of PathPoint
        From the largest beta to the smallest; fewer than asked for when the path was interrupted.
    """

    trained: Trained
    beta: float
    points: tuple[PathPoint, ...]


def read_betas(beta: Any) -> Betas:
    """Betas as users give them: one number, several numbers in any order, or "path" (then None).

    Raises
    ------
    ValueError
        On anything else, on numbers that are not positive, on none and on equal ones.
    """
    if isinstance(beta, str):
        if beta != "path":
            raise ValueError(f"beta must be a number, several numbers or 'path', not {beta!r}")
        return None
    if not isinstance(beta, Iterable) or getattr(beta, "ndim", 1) == 0:
        return (check_real("beta", beta, 0.0, open_minimum=True),)
    betas = [check_real(f"beta[{i}]", value, 0.0, open_minimum=True) for i, value in enumerate(beta)]
    if not betas:
        raise ValueError("beta must hold at least one number")
    if len(set(betas)) < len(betas):
        raise ValueError(f"beta must hold every number once, got {betas}")
    return tuple(sorted(betas, reverse=True))


def is_several(betas: Betas) -> bool:
    """Whether there is anything to pick from."""
    return betas is None or len(betas) > 1


def path_betas(prepared: Prepared, settings: ProgramSettings) -> tuple[float, ...]:
    """20 betas in geometric progression: from just below the level at which W = 0 is optimal to 1e-3 of that level.

    One beta when W = 0 is optimal for all of them.
    """
    if largest_rho(prepared.program) == 0.0:
        return (1.0,)
    per_rho = math.sqrt(settings.width_for(len(prepared.dictionary.column_of)))
    # The first of the grid is the level itself, where there is nothing to see.
    return tuple(per_rho * rho for rho in rho_grid(prepared.program, PATH_POINTS + 1, PATH_RATIO)[1:])


def train_path(
    witnesses: Hidden,
    sequences: Sequences,
    targets: Tensor,
    settings: ProgramSettings,
    betas: Betas,
    score: Score,
    *,
    validation: Validation | None = None,
    row_weights: Tensor | None = None,
    observer: Observer | None = None,
    start: Tensor | None = None,
) -> TrainedPath:
    """Simulate once, solve for every beta from the largest to the smallest, and pick one by its validation score.

    Of equal validation scores the larger beta is picked, as its network is the sparser one.

    Parameters
    ----------
    witnesses, sequences, targets, row_weights, observer
        As of `train`.
    settings : ProgramSettings
        Its beta is not used; its rho must be None when there are several betas.
    betas : tuple of float, or None
        As `read_betas` gives them.
    score : callable (S of shape (rows, C)) -> float
        Of the training rows.
    validation : Validation, optional
        Needed when there are several betas.
    start : float64 tensor of shape (P_last, C), optional
        Weights of the witnesses' last-layer neurons from which the largest beta is solved, as of `train`.

    Raises
    ------
    ValueError
        Several betas without validation data, or with rho.

    Warns
    -----
    ConvergenceWarning
        When the certified relative gap of a beta is above tol.
    UserWarning
        When no witness ever fires on these sequences.
    """
    if is_several(betas) and validation is None:
        raise ValueError("validation must be given when there are several betas")
    if is_several(betas) and settings.rho is not None:
        raise ValueError("rho takes the place of beta: leave it None when there are several betas")
    observer = observer or Observer()
    prepared = prepare(witnesses, sequences, targets, settings, row_weights, observer)
    held = None if validation is None else build_dictionary(witnesses, validation.sequences, observer.simulated)
    betas = path_betas(prepared, settings) if betas is None else betas
    n_last = len(prepared.dictionary.column_of)
    rhos = [replace(settings, beta=beta).rho_for(n_last) for beta in betas]
    begun = time.perf_counter()
    points: list[PathPoint] = []
    picked: tuple[PathPoint, Solution] | None = None
    W0 = None if start is None else prepared.dictionary.to_columns(start)
    solutions = solve_path(prepared.program, rhos, prepared.options, W0)
    for beta, solution in zip(_announced(betas, observer), solutions, strict=False):
        point = PathPoint(
            beta=beta,
            train_score=_defined(score(prepared.program.columns.matmul(solution.W).cpu())),
            validation_score=(
                _defined(validation.score(_outputs(held, prepared, solution))) if validation and held else None
            ),
            seconds=solution.seconds,
            status=solution.status,
            certificate=prepared.certificate_of(solution),
        )
        points.append(point)
        if picked is None or point.beats(picked[0]):
            picked = point, solution
    assert picked is not None
    _warn_of_others(points, picked[0], settings.tol)
    trained = prepared.conclude(picked[1], time.perf_counter() - begun)
    return TrainedPath(trained, picked[0].beta, tuple(points))


def _announced(betas: Sequence[float], observer: Observer) -> Iterator[float]:
    for i, beta in enumerate(betas, start=1):
        if len(betas) > 1:
            observer.begin(f"beta {beta:.3g} ({i} of {len(betas)})")
        yield beta


def _outputs(held: Dictionary, prepared: Prepared, solution: Solution) -> Tensor:
    """Outputs on other sequences, from what the same witnesses did there."""
    neurons = prepared.dictionary.to_neurons(solution.W)
    return held.columns.matmul(held.to_columns(neurons)).cpu()


def _defined(score: float) -> float | None:
    return score if math.isfinite(score) else None


def _warn_of_others(points: Sequence[PathPoint], picked: PathPoint, tol: float) -> None:
    """The picked point has a warning of its own."""
    missed = ", ".join(f"{p.beta:.3g}" for p in points if p is not picked and not p.certificate.holds(tol))
    if missed:
        reason = f"not certified to tol={tol:g} at beta {missed}, whose scores took part in the pick"
        warnings.warn(reason, ConvergenceWarning, stacklevel=3)
