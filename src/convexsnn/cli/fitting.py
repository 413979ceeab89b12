"""What the commands fit, predict and verify do, apart from reading their options."""

from __future__ import annotations

import io
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convexsnn import closed_loop
from convexsnn.certificate import Certificate
from convexsnn.cli import output
from convexsnn.cli.data import DataSet, check_splits, from_file, from_task, stored_task, trained_on
from convexsnn.cost import inference_cost
from convexsnn.estimators import Estimator, SpikingClassifier, SpikingRegressor
from convexsnn.families import is_searched
from convexsnn.files import write_atomically
from convexsnn.metrics import closed_loop_scores, split_scores
from convexsnn.proof import SUMS, sums_of, verify_exactly
from convexsnn.search.state import INTERRUPTED
from convexsnn.selection import is_several, read_betas
from convexsnn.solvers import Status
from convexsnn.storage import data_digest, load_model, save_model
from convexsnn.tasks import load_task
from convexsnn.verification import verify as verify_certificate

MODEL, CERTIFICATE, METRICS, PATH = "model.safetensors", "certificate.json", "metrics.json", "path.json"
HISTORY, CHECKPOINT = "history.json", "search.safetensors"


def fit(data: DataSet, parameters: dict[str, Any], out: Path, *, regression: bool) -> dict[str, Any]:
    """Train on `data`, score all its splits, write the files; returns certificate, metrics and path."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file: name a folder")
    start = time.perf_counter()
    estimator: Estimator = (SpikingRegressor if regression else SpikingClassifier)(**parameters)
    estimator.check_settings()
    check_splits(data, estimator.timesteps)
    out.mkdir(parents=True, exist_ok=True)
    several = is_several(read_betas(estimator.beta))
    # A search leaves out at its end what the validation data do not miss.
    split = data.splits.get("val") if several or is_searched(estimator.witnesses) else None
    validation = None if split is None else (split.X, split.y)
    with output.progress(parameters["tol"]) as observer:
        estimator.fit(data.train.X, data.train.y, validation=validation, observer=observer, checkpoint=out / CHECKPOINT)
    seconds = time.perf_counter() - start
    sequences, targets = estimator.training_rows(data.train.X, data.train.y)
    extra = {"source": data.source, "data_sha256": data_digest(sequences, targets)}
    # The network is written before it is scored, so that bad validation labels cannot lose it.
    save_model(estimator, out / MODEL, extra)
    certificate = estimator.certificate_.to_json()
    write_atomically(out / CERTIFICATE, certificate.encode())
    report: dict[str, Any] = {"certificate": json.loads(certificate)}
    if several:
        report["path"] = describe_path(estimator, held_out=validation is None)
        write_atomically(out / PATH, json.dumps(report["path"], indent=2, allow_nan=False).encode())
    else:
        (out / PATH).unlink(missing_ok=True)  # of an earlier fit into the same folder
    if estimator.stopped_ is not None:
        report["search"] = {
            "stopped": estimator.stopped_,
            "rounds": [entry.to_dict() for entry in estimator.history_],
        }
        write_atomically(out / HISTORY, json.dumps(report["search"], indent=2, allow_nan=False).encode())
    else:
        (out / HISTORY).unlink(missing_ok=True)
    report["metrics"] = collect_metrics(estimator, data, seconds)
    write_atomically(out / METRICS, json.dumps(report["metrics"], indent=2, allow_nan=False).encode())
    statuses = {estimator.trained_.status, *(point.status for point in estimator.path_)}
    # A finished search is in the model; an interrupted one may be gone on with.
    interrupted = Status.INTERRUPTED in statuses or estimator.stopped_ == INTERRUPTED
    if not interrupted:
        (out / CHECKPOINT).unlink(missing_ok=True)
    write_atomically(out / SUMS, sums_of(out).encode())
    return report | {"interrupted": interrupted}


def describe_path(estimator: Estimator, *, held_out: bool) -> dict[str, Any]:
    """All betas and the picked one; `held_out` tells whether the network was then trained on all sequences."""
    points = [point.to_dict() | {"picked": point.beta == estimator.beta_} for point in estimator.path_]
    return {"beta": estimator.beta_, "retrained_on_all": held_out, "points": points}


def collect_metrics(estimator: Estimator, data: DataSet, seconds: float) -> dict[str, Any]:
    """Scores of every split, objective, cost of inference (on the test split where there is one) and times.

    For tasks with feedback also the scores on the test split in closed loop.
    """
    trained = estimator.trained_
    facts = json.loads(trained.certificate.to_json())  # numbers that JSON has
    shown = data.splits.get("test", data.train)
    cost = inference_cost(estimator.network_, estimator.sequences(shown.X))
    scores = {split: split_scores(estimator, part.X, part.y) for split, part in data.splits.items()}
    if isinstance(estimator, SpikingClassifier) and data.task is not None and data.task.feedback is not None:
        scores["closed_loop"] = closed_loop_scores(estimator, data.task)
    return {
        **scores,
        "beta": estimator.beta_,
        "objective": facts["primal"],
        "relative_gap": facts["relative_gap"],
        "certified": trained.certificate.holds(estimator.tol),
        "status": trained.status.name,
        "solver": trained.solver,
        "n_iter": trained.n_iter,
        "seconds": {"total": seconds, **trained.seconds},
        "P_last": trained.witnesses.n_last,
        "columns": trained.certificate.P,
        **asdict(cost),
        "n": {split: len(part) for split, part in data.splits.items()},
        "unseen_share": data.unseen_share,
    }


def print_report(report: dict[str, Any], out: Path) -> None:
    """The certificate and the metrics as tables."""
    certificate = Certificate.from_json(json.dumps(report["certificate"]))
    metrics = report["metrics"]
    if "search" in report:
        output.print_search(report["search"])
    if "path" in report:
        output.print_path(report["path"])
    output.print_facts("Certificate", output.certificate_facts(certificate))
    facts: dict[str, Any] = {}
    for split in ("train", "val", "test", "closed_loop"):
        for name, value in metrics.get(split, {}).items():
            facts[f"{split} {name}"] = f"{value:.4f}" if name == "r2" else f"{100 * value:.2f} %"
    facts |= {
        "test sequences not seen in training": metrics["unseen_share"],
        "neurons, synapses": f"{metrics['neurons']}, {metrics['synapses']}",
        "sparsity": f"connections {metrics['connection_sparsity']:.3f}, "
        f"activations {metrics['activation_sparsity']:.3f}",
        "spikes per inference": f"{metrics['spikes_per_inference']:.1f}",
        "operations per inference": f"{metrics['effective_acs']:.0f} ACs, {metrics['effective_macs']:.0f} MACs "
        f"(dense {metrics['dense_operations']:.0f})",
        "seconds": ", ".join(f"{name} {value:.2f}" for name, value in metrics["seconds"].items()),
    }
    if facts["test sequences not seen in training"] is None:
        del facts["test sequences not seen in training"]
    output.print_facts("Network", facts)
    output.say(f"written to {out}")


def predict(estimator: Estimator, X: Any, out: Path) -> dict[str, Any]:
    """Write predictions to an .npz file."""
    results: dict[str, Any] = {"prediction": estimator.predict(X)}
    if isinstance(estimator, SpikingClassifier):
        several = isinstance(estimator.classes_, list)
        results |= _numbered("scores", estimator.decision_function(X), several)
        if hasattr(estimator, "predict_proba"):
            results |= _numbered("probabilities", estimator.predict_proba(X), several)
    return _write_arrays(results, out)


def predict_closed_loop(estimator: Estimator, extra: dict[str, Any], X: Any, out: Path) -> dict[str, Any]:
    """Write predictions in closed loop, and the inputs that were generated, to an .npz file."""
    # Only the task's rules are needed, not its data.
    name, settings, factored = stored_task(extra, n_train=1, n_val=1, n_test=1)
    task = load_task(name, settings)
    loop = closed_loop.FeedbackLoop.of_task(task.factored() if factored else task)
    labels, inputs = closed_loop.predict_closed_loop(estimator, X, loop, return_inputs=True)  # type: ignore[arg-type]
    return _write_arrays({"prediction": labels, "inputs": inputs}, out)


def _numbered(name: str, value: Any, several: bool) -> dict[str, Any]:
    """What an estimator says of each output, under names with the number of the output where there are several."""
    return {f"{name}_{k}": part for k, part in enumerate(value)} if several else {name: value}


def _write_arrays(results: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write arrays, or lists of arrays with their lengths, to an .npz file; returns dtype and shape of each."""
    arrays = {}
    for name, value in results.items():
        if isinstance(value, list):
            arrays["lengths"] = np.array([len(v) for v in value])
            value = np.concatenate(value)
        if value.dtype.hasobject:
            value = value.astype(str)
        arrays[name] = value
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(out, buffer.getvalue())
    return {name: f"{array.dtype} {array.shape}" for name, array in arrays.items()}


def verify(model: Path, task: str | None, file: Path | None, data_dir: Path | None) -> dict[str, Any]:
    """Recompute a stored certificate; the report says whether it holds and why not."""
    estimator, extra = load_model(model_file(model))
    problems = stored_claims(model, estimator.trained_.certificate)
    data = training_data(estimator, extra, task, file, data_dir)
    if isinstance(data, str):
        return failed(data)
    report = recheck(estimator, extra, data)
    return report | {"holds": report["holds"] and not problems, "problems": [*problems, *report["problems"]]}


def stored_claims(model: Path, stored: Certificate) -> list[str]:
    """Why the certificate beside a model file, where there is a folder, is not the one within it."""
    if not model.is_dir():
        return []
    beside = model / CERTIFICATE
    try:
        claimed = Certificate.from_json(beside.read_text())
    except (OSError, ValueError) as error:
        return [f"{beside} cannot be read: {error}"]
    return [] if claimed == stored else [f"{CERTIFICATE} is not the certificate in {MODEL}"]


def recheck(estimator: Estimator, extra: dict[str, Any], data: DataSet) -> dict[str, Any]:
    """Recompute the certificate of a loaded model on its training data."""
    problems, stored = [], estimator.trained_.certificate
    try:
        sequences, targets = estimator.training_rows(data.train.X, data.train.y)
        if data_digest(sequences, targets) != extra.get("data_sha256"):
            problems.append("the data are not those the model was trained on (their SHA-256 differs)")
        outcome = verify_certificate(estimator.trained_, stored, sequences, targets, estimator.program_settings())
    except (ValueError, TypeError, RuntimeError, IndexError, ArithmeticError) as error:
        return failed(f"the stored model cannot be run on these data: {error}")
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


def verify_exact(model: Path, task: str | None, file: Path | None, data_dir: Path | None) -> dict[str, Any]:
    """`verify`, and beside it under "exact" a proof that shares no code with it; both must hold."""
    report = verify(model, task, file, data_dir)
    estimator, extra = load_model(model_file(model))
    data = training_data(estimator, extra, task, file, data_dir)
    if isinstance(data, str):
        return report
    start = time.perf_counter()
    outcome = verify_exactly(model, data.train.X, data.train.y)
    problems = [f"exactly: {problem}" for problem in outcome.problems]
    return report | {
        "holds": report["holds"] and outcome.holds,
        "problems": [*report["problems"], *problems],
        "exact": outcome.to_dict() | {"seconds": time.perf_counter() - start},
    }


def failed(reason: str) -> dict[str, Any]:
    """The report of a certificate that could not be recomputed at all."""
    return {"holds": False, "problems": [reason], "recomputed": None}


def print_verification(report: dict[str, Any]) -> None:
    """The recomputed certificate, and the verdict."""
    if report["recomputed"] is not None:
        recomputed = Certificate.from_json(json.dumps(report["recomputed"]))
        output.print_facts("Recomputed", output.certificate_facts(recomputed))
    exact = report.get("exact", {})
    if "primal" in exact:
        output.print_facts("Proved", output.proof_facts(exact))
    for problem in report["problems"]:
        output.say(problem, head="does not hold:", style="bold red")
    if report["holds"]:
        output.say("", head="the certificate holds", style="bold green")
        if not report["uniform_row_weights"]:
            output.say("note: the rows are weighted; the weights are those stored with the model")
        if not report["certified_to_tol"]:
            output.say(f"note: its gap is above tol = {report['tol']:g}, so the fit is not certified to tol")


def model_file(path: Path) -> Path:
    """The model file of a folder, or the file itself."""
    return path / MODEL if path.is_dir() else path


def training_data(
    estimator: Estimator, extra: dict[str, Any], task: str | None, file: Path | None, data_dir: Path | None
) -> DataSet | str:
    """The data to verify on, or why there are none."""
    if file is not None:
        return from_file(file, per_step=estimator.per_step)
    if trained_on(extra) != task:
        return f"the model was trained on {trained_on(extra)}, not on task {task}"
    try:
        name, settings, factored = stored_task(extra, **({} if data_dir is None else {"data_dir": data_dir}))
    except ValueError as error:
        return str(error)
    return from_task(name, settings, factored=factored)
