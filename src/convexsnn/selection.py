"""A path of betas over the same columns, and the pick of one of them by its score on validation data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.certificate import Certificate
from convexsnn.checks import check_names, check_real
from convexsnn.notices import warn
from convexsnn.observer import Observer
from convexsnn.penalties import PenaltyAboveNorm
from convexsnn.regularisation import Regularisation
from convexsnn.search import Round
from convexsnn.solvers.base import Status
from convexsnn.training import ColumnSource, Fit, Trained


@dataclass(frozen=True)
class PathPoint:
    """What is kept of one beta.

    Attributes
    ----------
    beta : float
    train_score, validation_score : float or None
        None without such data, or where the score is not defined on them.
    seconds : float
        The seconds that the solver took.
    status : Status
        Why the solver stopped.
    certificate : Certificate
        The certificate of this beta's own weights on the training rows.
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
        check_names("a beta of the path", fields, (*cls.__dataclass_fields__, "support"))
        score = lambda name: None if fields[name] is None else check_real(name, fields[name])  # noqa: E731
        point = cls(
            beta=check_real("beta", fields["beta"], 0.0, open_minimum=True),
            train_score=score("train_score"),
            validation_score=score("validation_score"),
            seconds=check_real("seconds", fields["seconds"]),
            status=Status[fields["status"]],
            certificate=Certificate.from_json(json.dumps(fields["certificate"])),
        )
        if fields["support"] != point.support:
            raise ValueError(f"support is {fields['support']!r}, but the certificate says {point.support}")
        return point


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit came to.

    Attributes
    ----------
    trained : Trained
        The network of the picked beta, and all that is needed to prove it.
    beta : float
        The picked beta.
    path : tuple of PathPoint
        One record a beta, from the largest to the smallest; fewer than asked for when the fit was interrupted.
    history : tuple of Round
        The rounds of the search, if there was one.
    stopped : str or None
        Why the search ended.
    """

    trained: Trained
    beta: float
    path: tuple[PathPoint, ...]
    history: tuple[Round, ...] = ()
    stopped: str | None = None


@isolated
def train_path(source: ColumnSource, regularisation: Regularisation, observer: Observer | None = None) -> Fitted:
    """Fit output weights for every beta from the largest to the smallest, and pick one by its validation score.

    Of equal validation scores the larger beta is picked, as its network is the sparser one. The path ends where weights
    lie on more columns than `regularisation` allows.

    Parameters
    ----------
    source : ColumnSource
        Its problem has a score; and validation data where there are several betas.
    regularisation : Regularisation
    observer : Observer, optional

    Raises
    ------
    ValueError
        Several betas without validation data.

    Warns
    -----
    ConvergenceWarning
        When the certified relative gap of a beta is above its tolerance.
    """
    observer, problem = observer or Observer(), source.problem
    if regularisation.several and problem.validation is None:
        raise ValueError("validation must be given when there are several betas")
    betas = betas_of(source, regularisation)
    rhos = [regularisation.rho_of(beta, source.n_last) for beta in betas]
    points: list[PathPoint] = []
    picked: tuple[PathPoint, Fit] | None = None
    # A search has all but solved the program of the smallest beta.
    fits = fits_of(source, betas, rhos, regularisation, None if regularisation.several else source.start)
    for i, beta in enumerate(betas, start=1):
        if len(betas) > 1:
            observer.begin(f"beta {beta:.3g} ({i} of {len(betas)})")
        point, fit = next(fits, (None, None))
        if point is None or fit is None:
            break
        points.append(point)
        if picked is None or point.beats(picked[0]):
            picked = point, fit
    assert picked is not None
    warn_of_others(points, picked[0], source.options.tol)
    return Fitted(picked[1].conclude(), picked[0].beta, tuple(points), source.history, source.stopped)


def betas_of(source: ColumnSource, regularisation: Regularisation) -> tuple[float, ...]:
    """The betas to solve for, from the largest to the smallest."""
    if regularisation.betas is not None:
        return regularisation.betas
    return tuple(math.sqrt(source.n_last) * rho for rho in source.path_of_rhos())


def fits_of(
    source: ColumnSource,
    betas: Sequence[float],
    rhos: Sequence[float],
    regularisation: Regularisation,
    start: Tensor | None = None,
) -> Iterator[tuple[PathPoint, Fit]]:
    """The fits of the betas, each made when it is asked for, and what is kept of each.

    The last is one that was interrupted, or the one before the first with more columns than `regularisation` allows.
    """
    # A penalty without a norm leaves no column out at any beta.
    ends = isinstance(source.problem.penalty, PenaltyAboveNorm)
    for i, (beta, fit) in enumerate(zip(betas, source.fits(rhos, start), strict=False)):
        held = source.problem.validation
        point = point_of(source, beta, fit, None if held is None else fit.score_of(held))
        if i and ends and not regularisation.allows(point.support):
            return
        yield point, fit


def point_of(source: ColumnSource, beta: float, fit: Fit, validation_score: float | None) -> PathPoint:
    """What is kept of the fit of one beta."""
    return PathPoint(
        beta=beta,
        train_score=_defined(fit.score_of(source.problem.scored)),
        validation_score=None if validation_score is None else _defined(validation_score),
        seconds=fit.seconds,
        status=fit.status,
        certificate=fit.certificate,
    )


def _defined(score: float) -> float | None:
    return score if math.isfinite(score) else None


def warn_of_others(points: Sequence[PathPoint], picked: PathPoint, tol: float) -> None:
    """Warn of points without a certificate to `tol`; the picked point has a warning of its own."""
    missed = ", ".join(f"{p.beta:.3g}" for p in points if p is not picked and not p.certificate.holds(tol))
    if missed:
        reason = f"not certified to tol={tol:g} at beta {missed}, whose scores took part in the pick"
        warn(reason, ConvergenceWarning)
