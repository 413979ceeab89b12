"""The certificate of a fitted estimator, computed anew on its training data; of a mean those of its members."""

from __future__ import annotations

import json
from typing import Any

import torch

from convexsnn.estimators.base import SpikingEstimator
from convexsnn.ranks import LostRankError, Ranks
from convexsnn.verification import verify

OTHER_DATA = "the data are not those the model was trained on (their SHA-256 differs)"


def recheck(estimator: SpikingEstimator, X: Any, y: Any, ranks: Ranks | None = None) -> dict[str, Any]:
    """Compute the certificate of an estimator anew on its training data; the report says whether it holds and why not.

    The hidden neurons are simulated again. Objective and bound come from the kept weights and dual vector alone. Of the
    mean of several fits each fit is checked; the reports are under "members". Of
    several ranks, all of which make this call, each simulates a share of the sequences; what fails on one is an error.
    """
    if estimator.members_:
        return _of_members([recheck(member, X, y, ranks) for member in estimator.members_], estimator.tol)
    problems, stored = [], estimator.trained_.certificate
    try:
        problem = estimator.problem(X, y)
        if problem.data_digest != estimator.trained_.data_digest:
            problems.append(OTHER_DATA)
        outcome = verify(estimator.trained_, stored, problem.over(ranks))
    except LostRankError:
        raise
    except (ValueError, TypeError, RuntimeError, IndexError, ArithmeticError) as error:
        reason = f"the stored model cannot be run on these data: {error}"
        if ranks is not None:  # the others wait for what this one was to compute, until it ends
            raise ValueError(reason) from error
        return failed(reason)
    weights = estimator.trained_.row_weights
    recomputed = outcome.recomputed
    return {
        "holds": outcome.holds and not problems,
        "problems": [*problems, *outcome.problems],
        "certified_to_tol": bool(recomputed and recomputed.holds(estimator.tol)),
        "tol": estimator.tol,
        "uniform_row_weights": bool(torch.all(weights == weights[0])),
        "recomputed": None if recomputed is None else json.loads(recomputed.to_json()),
    }


def _of_members(reports: list[dict[str, Any]], tol: float) -> dict[str, Any]:
    """The report of a mean: it holds where that of each fit does."""
    return {
        "holds": all(report["holds"] for report in reports),
        "problems": [f"member {k}: {problem}" for k, report in enumerate(reports) for problem in report["problems"]],
        "certified_to_tol": all(report.get("certified_to_tol", False) for report in reports),
        "tol": tol,
        "uniform_row_weights": all(report.get("uniform_row_weights", False) for report in reports),
        "recomputed": None,
        "members": reports,
    }


def failed(reason: str) -> dict[str, Any]:
    """The report of a certificate that could not be computed anew at all."""
    return {"holds": False, "problems": [reason], "recomputed": None}
