"""How good a trained network is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.stats import beta

from convexsnn.batches import Batches
from convexsnn.caller import isolated
from convexsnn.checks import check_choice
from convexsnn.closed_loop import FeedbackLoop, predict_closed_loop
from convexsnn.cost import inference_cost
from convexsnn.estimators import Estimator, SpikingClassifier
from convexsnn.estimators.classes import same_answers
from convexsnn.estimators.targets import class_labels
from convexsnn.labels import flatten_steps
from convexsnn.sequences import SequenceSource
from convexsnn.tasks import Split, TaskData

# Of the bound on the error of all sequences, from those of the test split.
CONFIDENCE = 0.95


@isolated
def split_scores(estimator: Estimator, X: Any, y: Any) -> dict[str, float]:
    """Scores of a fitted estimator on one split.

    Returns
    -------
    dict
        Shares from 0 to 1, and for a regressor ``r2`` where it is defined.

        - ``accuracy``: the share of right sequences, or of right steps with a label at every step. With several outputs
          all must be right.
        - ``sequence_accuracy``: with a label at every step, the share of sequences of which all steps are right.
        - ``accuracy_output_0`` and so on: with several outputs, the accuracy of each.
    """
    if not isinstance(estimator, SpikingClassifier):
        # R^2 is not defined for one row, or for targets that do not vary.
        r2 = estimator.score(X, y) if len(y) > 1 else math.nan
        return {"r2": r2} if math.isfinite(r2) else {}
    return _answer_scores(estimator, X, y, estimator.predict(X))


@isolated
def closed_loop_scores(estimator: SpikingClassifier, task: TaskData, split: str = "test") -> dict[str, float]:
    """Scores, as of `split_scores`, on a split of a task with feedback when the network is fed its own answers.

    Raises
    ------
    ValueError
        If the task has no feedback, or its labels are not of the form that the estimator was fitted to.
    """
    check_choice("split", split, ("train", "val", "test"))
    part: Split = getattr(task, split)
    return _answer_scores(estimator, part.X, part.y, predict_closed_loop(estimator, part.X, FeedbackLoop.of_task(task)))


def error_bound(scores: Mapping[str, float], n: int) -> float | None:
    """What share of all sequences the network answers wrongly at most, with a confidence of `CONFIDENCE`.

    This is the exact one-sided bound for n independent draws. It is no proof: one of twenty such bounds may be wrong.
    It holds for a split that had no part in training or in any choice.

    Parameters
    ----------
    scores : mapping of str to float
        As in `split_scores`. With a label at every step, a sequence is wrong where one of its steps is.
    n : int
        Sequences of the split.

    Returns
    -------
    float or None
        None for scores of a regressor.

    References
    ----------
    C. Clopper, E. Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika
    1934.
    """
    share = scores.get("sequence_accuracy", scores.get("accuracy"))
    if share is None:
        return None
    wrong = n - round(share * n)
    return 1.0 if wrong == n else float(beta.ppf(CONFIDENCE, wrong + 1, n - wrong))


@isolated
def fit_metrics(
    estimator: Estimator, splits: Mapping[str, Split], scores: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """What is measured of a fitted estimator: scores, objective, times, and the cost of inference.

    The mean of several fits has the number of `members` in place of objective, beta and what else is of one fit.

    Parameters
    ----------
    estimator : SpikingClassifier or SpikingRegressor
    splits : mapping of str to Split
        The cost is that of the test split, or else of the first split there is.
    scores : mapping of str to mapping of str to float
        By split, as of `split_scores`.
    """
    shown = splits.get("test", next(iter(splits.values())))
    cost = inference_cost(estimator.network_, _read(estimator, shown.X))
    return {
        **scores,
        **(_of_members(estimator) if estimator.members_ else _of_fit(estimator)),
        **asdict(cost),
        "n": {split: len(part) for split, part in splits.items()},
        "test_error_bound": error_bound(scores["test"], len(splits["test"])) if "test" in scores else None,
    }


def _read(estimator: Estimator, X: Any) -> SequenceSource:
    """`X` as the estimator reads it; batches are read already."""
    return X if isinstance(X, Batches) else estimator.sequences(X)


def _of_fit(estimator: Estimator) -> dict[str, Any]:
    """What is measured of one fit."""
    trained = estimator.trained_
    facts = json.loads(trained.certificate.to_json())  # numbers that JSON has
    return {
        "beta": estimator.beta_,
        "objective": facts["primal"],
        "relative_gap": facts["relative_gap"],
        "certified": trained.certificate.holds(estimator.tol),
        "status": trained.status.name,
        "solver": trained.solver,
        "n_iter": trained.n_iter,
        "seconds": dict(trained.seconds),
        "P_last": trained.witnesses.n_last,
        "columns": trained.certificate.P,
    }


def _of_members(estimator: Estimator) -> dict[str, Any]:
    """What is measured of the mean of several fits: it has no objective of its own."""
    stages = [member.trained_.seconds for member in estimator.members_]
    return {"members": len(stages), "seconds": {name: sum(own[name] for own in stages) for name in stages[0]}}


def shown_bound(bound: float) -> str:
    """An `error_bound` in words."""
    return f"at most {100 * bound:.2f} %, with {100 * CONFIDENCE:.0f} % confidence"


def _answer_scores(estimator: SpikingClassifier, X: Any, y: Any, predicted: Any) -> dict[str, float]:
    """Scores of predicted labels, in the form of `y`."""
    sequences = _read(estimator, X)
    labels = class_labels(y, sequences, estimator.per_step, "y")
    answers = flatten_steps(predicted, sequences, vectors=True) if estimator.per_step else predicted
    right = same_answers(labels, answers)
    scores = {"accuracy": float(np.mean(right))}
    if estimator.per_step:
        scores["sequence_accuracy"] = float(np.mean([steps.all() for steps in sequences.unflatten(right)]))
    if labels.ndim == 2:
        each = np.mean(labels == answers, axis=0)
        scores |= {f"accuracy_output_{k}": float(value) for k, value in enumerate(each)}
    return scores
