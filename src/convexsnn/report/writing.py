"""The page of a fit from Python: what the command line reads from a folder is computed here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from convexsnn.caller import isolated
from convexsnn.estimators import Estimator
from convexsnn.estimators.rechecking import OTHER_DATA, recheck
from convexsnn.files import write_atomically
from convexsnn.metrics import fit_metrics, split_scores
from convexsnn.report.contents import PageContents
from convexsnn.report.page import render
from convexsnn.tasks import Split

NO_DATA = (
    "No data were given, so there is no confusion matrix, no spike raster, no score against columns and no cost: pass "
    "train=(X, y) or test=(X, y)."
)
Verdict = tuple[bool | None, tuple[str, ...]]


@isolated
def write_report(
    estimator: Estimator, path: str | Path, splits: Mapping[str, Split], title: str, inputs: tuple[int, ...] = ()
) -> Path:
    """Write the page of a fitted estimator; `SpikingEstimator.report` says what is in it.

    Parameters
    ----------
    estimator : SpikingClassifier or SpikingRegressor
    path : path
    splits : mapping of str to Split
        Any of "train", "val" and "test". The certificate is checked on the training data.
    title : str
    inputs : tuple of int
        As in `PageContents`.
    """
    scores = {name: split_scores(estimator, part.X, part.y) for name, part in splits.items()}
    holds, words = verdict_on(estimator, splits.get("train"))
    contents = PageContents(
        estimator=estimator,
        title=title,
        metrics=fit_metrics(estimator, splits, scores) if splits else {},
        splits=splits,
        missing="" if splits else NO_DATA,
        verdict=words,
        holds=holds,
        inputs=inputs,
        version=version("convexsnn"),
    )
    path = Path(path)
    write_atomically(path, render(contents).encode())
    return path


def verdict_on(estimator: Estimator, train: Split | None) -> Verdict:
    """Whether the certificate holds on the data it was made from, None where that was not looked at, and the words."""
    if train is None:
        return None, ("Checking needs the training data.",)
    outcome = recheck(estimator, train.X, train.y)
    if any(problem.endswith(OTHER_DATA) for problem in outcome["problems"]):
        return None, ("The data shown here are not those that the model was trained on (their SHA-256 differs).",)
    if not outcome["holds"]:
        return False, tuple(f"Does not hold: {problem}." for problem in outcome["problems"])
    each = [own["recomputed"] for own in outcome.get("members", [outcome])]
    values = "; ".join(f"objective {again['primal']:.12g} and lower bound {again['dual']:.12g}" for again in each)
    return True, (
        "Checked for this page: the hidden neurons were simulated anew on the training data, and the stored weights "
        f"and dual vector give {values} in float64.",
        "A proof in exact arithmetic: convexsnn verify --exact.",
    )
