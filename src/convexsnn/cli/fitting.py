"""What `convexsnn fit` does, apart from reading its options."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from convexsnn.certificate import Certificate
from convexsnn.cli import output
from convexsnn.cli.data import DataSet, check_splits
from convexsnn.cli.folder import CERTIFICATE, CHECKPOINT, HISTORY, METRICS, MODEL, PATH
from convexsnn.cost import inference_cost
from convexsnn.estimators import Estimator, SpikingClassifier, SpikingRegressor
from convexsnn.files import write_atomically
from convexsnn.metrics import closed_loop_scores, split_scores
from convexsnn.proof import SUMS, sums_of
from convexsnn.regularisation import Regularisation
from convexsnn.search.state import INTERRUPTED
from convexsnn.solvers import Status
from convexsnn.storage import save_model


def fit(data: DataSet, parameters: dict[str, Any], out: Path, *, regression: bool) -> dict[str, Any]:
    """Train on `data`, score all its splits, write the files; returns certificate, metrics and path."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file: name a folder")
    start = time.perf_counter()
    estimator: Estimator = (SpikingRegressor if regression else SpikingClassifier)(**parameters)
    estimator.check_settings()
    check_splits(data, estimator.timesteps)
    out.mkdir(parents=True, exist_ok=True)
    family, several = estimator.family, Regularisation.read(estimator.beta).several
    # A search leaves out at its end what the validation data do not miss.
    split = data.splits.get("val") if several or family.searches else None
    validation = None if split is None else (split.X, split.y)
    with output.progress(parameters["tol"]) as observer:
        checkpoint = out / CHECKPOINT if family.searches else None
        estimator.fit(data.train.X, data.train.y, validation=validation, observer=observer, checkpoint=checkpoint)
    seconds = time.perf_counter() - start
    extra = {"source": data.source}
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
