"""What `convexsnn verify` does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from convexsnn.arrays import unpadded
from convexsnn.batches import Batches, read_batch
from convexsnn.certificate import Certificate
from convexsnn.cli import output, showing
from convexsnn.cli.data import DataSet
from convexsnn.cli.folder import PROOF, folder_problems, model_file, sweep_first
from convexsnn.cli.loading import OtherDataError, load_fit_data
from convexsnn.cli.options import FitData
from convexsnn.estimators import Estimator
from convexsnn.estimators.rechecking import failed, recheck
from convexsnn.proof import verify_exactly
from convexsnn.ranks import Ranks
from convexsnn.reading import DamagedFileError
from convexsnn.storage import load_model
from convexsnn.words import check_proof_of


def verify(
    model: Path, source: FitData, *, exact: bool, strict: bool = False, ranks: Ranks | None = None
) -> dict[str, Any]:
    """Recompute a stored certificate; the report says whether it holds and why not.

    With `exact`, beside it under "exact" a proof that shares no code with this; both must hold. With `strict` every
    spike must be decided by more than its rounding. Of several ranks, all of which make this call, each simulates a
    share of the sequences.
    """
    if ranks is not None:
        sweep_first(model, ranks)
    try:
        estimator, extra = load_model(model_file(model))
    except DamagedFileError as error:
        return failed(str(error))
    if exact or strict:
        estimator.check_one_fit("an exact proof")
    problems = folder_problems(model)
    try:
        data = load_fit_data(source, estimator, extra)
    except OtherDataError as error:
        return failed(str(error))
    problems += _proof_problems(model, estimator)
    report = recheck(estimator, data.train.X, data.train.y, ranks)
    report |= {"holds": report["holds"] and not problems, "problems": [*problems, *report["problems"]]}
    return report | _prove(model, data, report, strict=strict) if exact or strict else report


def _proof_problems(model: Path, estimator: Estimator) -> list[str]:
    """Why the proof in a model's folder, where there is one, does not prove that its network is right on every word."""
    path = model / PROOF
    if not path.is_file():
        return []
    try:
        check_proof_of(estimator.network_, path.read_text())
    except ValueError as error:
        return [f"{PROOF}: {error}"]
    return []


def _prove(model: Path, data: DataSet, report: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    """What an exact proof adds to a report, and changes in it."""
    start = time.perf_counter()
    train = data.train
    outcome = verify_exactly(model, *(_batches(train.X) if isinstance(train.X, Batches) else (train.X, train.y)))
    problems = [f"exactly: {problem}" for problem in outcome.problems]
    if strict and outcome.undecided:
        problems.append(
            f"exactly: {outcome.undecided} spike decisions lie within rounding of their threshold (--strict)"
        )
    return {
        "holds": report["holds"] and not problems and outcome.holds,
        "problems": [*report["problems"], *problems],
        "exact": outcome.to_dict() | {"seconds": time.perf_counter() - start},
    }


def _batches(source: Batches) -> tuple[Callable[[], Iterator[tuple[Any, Any]]], None]:
    """Batches as the exact proof reads them: a function that gives arrays and labels, and no labels beside it."""

    def read() -> Iterator[tuple[Any, Any]]:
        for part in map(read_batch, source.read()):
            yield unpadded(part.sequences.values, part.sequences.lengths), part.y

    return read, None


def print_verification(report: dict[str, Any]) -> None:
    """The recomputed certificate, and the verdict."""
    for which, own in _recomputed(report).items():
        output.print_facts(which, Certificate.from_json(json.dumps(own)).facts())
    exact = report.get("exact", {})
    if "primal" in exact:
        output.print_facts("Proved", showing.proof_facts(exact))
    for problem in report["problems"]:
        output.say(problem, head="does not hold:", style="bold red")
    if report["holds"]:
        head = "the certificates of all members hold" if "members" in report else "the certificate holds"
        output.say("", head=head, style="bold green")
        if not report["uniform_row_weights"]:
            output.say("note: the rows are weighted; the weights are those stored with the model")
        if not report["certified_to_tol"]:
            output.say(f"note: its gap is above tol = {report['tol']:g}, so the fit is not certified to tol")


def _recomputed(report: dict[str, Any]) -> dict[str, Any]:
    """Recomputed certificates by name: that of the fit, or those of the members."""
    members = report.get("members")
    if members is None:
        own = {"Recomputed": report["recomputed"]}
    else:
        own = {f"Recomputed, member {k}": member["recomputed"] for k, member in enumerate(members)}
    return {which: certificate for which, certificate in own.items() if certificate is not None}
