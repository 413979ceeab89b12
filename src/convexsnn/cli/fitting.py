"""What `convexsnn fit` does, apart from reading its options."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convexsnn.batches import Batches
from convexsnn.certificate import Certificate
from convexsnn.cli import output, showing
from convexsnn.cli.data import DataSet, check_splits, trained_on
from convexsnn.cli.folder import (
    CERTIFICATE,
    CHECKPOINT,
    COLUMNS,
    HISTORY,
    METRICS,
    MODEL,
    PATH,
    SETTINGS,
    check_out,
    write_model,
)
from convexsnn.cli.reporting import PAGE
from convexsnn.cli.targets import is_page
from convexsnn.estimators import Estimator, SpikingClassifier, SpikingRegressor
from convexsnn.files import discard
from convexsnn.metrics import closed_loop_scores, fit_metrics, shown_bound, split_scores
from convexsnn.ranks import Ranks, check_alike
from convexsnn.reading import DamagedFileError
from convexsnn.search import SearchSettings
from convexsnn.search.state import INTERRUPTED
from convexsnn.solvers import Status
from convexsnn.storage import describe_parameters, model_bytes, read_header


def fit(
    data: DataSet,
    parameters: dict[str, Any],
    settings: str,
    out: Path,
    *,
    regression: bool,
    force: bool,
    ranks: Ranks | None = None,
) -> dict[str, Any]:
    """Train on `data`, score all its splits, write the files; returns certificate, metrics and path.

    `settings` is the TOML file from which the fit can be repeated. Of several ranks, all of which make this call, the
    first looks at the folder, scores and writes. The others return no metrics.

    Raises
    ------
    ValueError
        On bad settings and data, and where `out` is not a folder for this fit; before any work.
    OSError
        When the files cannot be written; the folder is then as it was.
    KeyboardInterrupt
        When Ctrl-C came before there was anything to write; says what there is.
    """
    writes = ranks is None or ranks.rank == 0
    if writes:
        check_out(out)
    estimator: Estimator = (SpikingRegressor if regression else SpikingClassifier)(**parameters)
    estimator.check_settings()
    estimator.set_params(**vars(estimator.recipe_for(data.train.X)))
    check_splits(data, estimator)
    extra = {"source": data.source, "data_sha256": digest_of(data)}
    if writes and not force:
        _check_own(out, estimator, extra)
    start = time.perf_counter()
    if ranks is not None:
        check_alike(_json([extra, describe_parameters(estimator)]), "the data and the options", ranks)
    _train(estimator, data, out, ranks)
    if ranks is not None:
        tensors = [tensor for own in estimator.fits for tensor in (own.trained_.W, own.trained_.U)]
        solution = b"".join(tensor.numpy().tobytes() for tensor in tensors)
        check_alike(solution, "the solution (so machines must be of one kind)", ranks)
    report = describe_fit(estimator)
    if writes:
        seconds, told = time.perf_counter() - start, {SETTINGS: settings.encode(), MODEL: model_bytes(estimator, extra)}
        report["metrics"] = _score_and_write(estimator, data, out, report, told, seconds)
    return report


def _score_and_write(
    estimator: Estimator, data: DataSet, out: Path, report: dict[str, Any], files: dict[str, bytes], seconds: float
) -> dict[str, Any]:
    """Put `files` and the others in place; returns the metrics. The network is written also where scores fail."""
    files |= {CERTIFICATE: _json(report["certificate"])}
    files |= {name: _json(report[key]) for name, key in ((PATH, "path"), (HISTORY, "search")) if key in report}
    try:
        scores = collect_scores(estimator, data)
    except BaseException as error:
        # The network is kept, whatever is wrong with the data that it was to be scored on.
        metrics = collect_metrics(estimator, replace(data, splits={"train": data.train}), seconds, {})
        _write(out, files | {METRICS: _json(metrics)}, report)
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"; the network is in {out}, without its scores") from None
        raise
    metrics = collect_metrics(estimator, data, seconds, scores)
    _write(out, files | {METRICS: _json(metrics)}, report)
    return metrics


def describe_fit(estimator: Estimator) -> dict[str, Any]:
    """What the files say, but for the scores; of the mean of several fits the certificate of each."""
    if estimator.members_:
        own = [describe_fit(member) for member in estimator.members_]
        certificate = {"members": [part["certificate"] for part in own]}
        return {"certificate": certificate, "interrupted": any(part["interrupted"] for part in own)}
    report: dict[str, Any] = {"certificate": json.loads(estimator.certificate_.to_json())}
    if estimator.recipe.regularisation(estimator.rho).several:
        points = [point.to_dict() | {"picked": point.beta == estimator.beta_} for point in estimator.path_]
        # Where betas were compared on a part of the sequences, the network is of none of the points.
        on_all = all(point.certificate != estimator.certificate_ for point in estimator.path_)
        report["path"] = {"beta": estimator.beta_, "retrained_on_all": on_all, "points": points}
    if estimator.stopped_ is not None:
        rounds = [entry.to_dict() for entry in estimator.history_]
        report["search"] = {"stopped": estimator.stopped_, "rounds": rounds}
    statuses = {estimator.trained_.status, *(point.status for point in estimator.path_)}
    return report | {"interrupted": Status.INTERRUPTED in statuses or estimator.stopped_ == INTERRUPTED}


def digest_of(data: DataSet) -> str:
    """SHA-256 of all sequences and labels, of every split."""
    digest = hashlib.sha256()
    for name, split in data.splits.items():
        for part in (split.X, split.y):
            for array in map(np.asarray, _arrays(part)):
                digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _arrays(part: Any) -> Iterable[Any]:
    """The arrays of the sequences or labels of a split, one in memory at a time where they are read in batches."""
    if isinstance(part, Batches):
        return (array for chunk in part.in_numbers() for array in (chunk.values, chunk.lengths))
    return part if isinstance(part, list) else [part]


def _train(estimator: Estimator, data: DataSet, out: Path, ranks: Ranks | None) -> None:
    """Fit on the training data; the validation data take part where there is something to choose."""
    family, several = estimator.family, estimator.recipe.regularisation(estimator.rho).several
    # At its end a search leaves out columns as long as the validation score does not fall.
    split = data.splits.get("val") if several or family.searches else None
    validation = None if split is None else (split.X, split.y)
    # The mean of several fits begins anew.
    kept = out / (CHECKPOINT if family.searches else COLUMNS)
    checkpoint = kept if family.goes_on and estimator.members == 1 else None
    keeps = checkpoint is not None and (ranks is None or ranks.rank == 0)
    if keeps:
        out.mkdir(parents=True, exist_ok=True)
    try:
        with showing.progress(estimator.tol) as observer:
            how = {"observer": observer, "checkpoint": checkpoint, "ranks": ranks}
            estimator.fit(data.train.X, data.train.y, validation=validation, **how)
    except KeyboardInterrupt:
        if checkpoint is not None and checkpoint.exists():
            raise KeyboardInterrupt(f"; {checkpoint} is kept: the same command goes on from there") from None
        raise KeyboardInterrupt("; nothing was written") from None
    finally:
        if keeps and not any(out.iterdir()):
            out.rmdir()


def _write(out: Path, files: dict[str, bytes], report: dict[str, Any]) -> None:
    """Put the files in place, and take away the state of a finished fit, and an earlier fit's page."""
    write_model(out, files)
    if not report["interrupted"]:
        (out / CHECKPOINT).unlink(missing_ok=True)
        discard(out / COLUMNS)
    if is_page(out / PAGE):
        (out / PAGE).unlink()


def _check_own(out: Path, estimator: Estimator, extra: dict[str, Any]) -> None:
    """Raise ValueError where the folder holds the model of another fit; what Ctrl-C ended may go on for longer."""
    if not (out / MODEL).exists():
        return
    advice = "name another folder, or --force to replace it"
    try:
        header = read_header(out / MODEL)
        known = (header["parameters"], header["extra"])
        budgets = SearchSettings.BUDGETS if (out / CHECKPOINT).exists() else ()
        same = _comparable(*known, budgets) == _comparable(describe_parameters(estimator), extra, budgets)
    except (DamagedFileError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"--out {out} holds a model that cannot be read ({error}): {advice}") from error
    if not same:
        raise ValueError(f"--out {out} holds another model, trained on {trained_on(known[1])}: {advice}")


def _comparable(parameters: dict[str, Any], extra: dict[str, Any], budgets: tuple[str, ...]) -> str:
    """All that a fit depends on, as text, without the settings of families that are named `budgets`."""
    family = parameters["witnesses"]
    parts = [{k: v for k, v in part.items() if k not in budgets} for part in family.get("parts", [family])]
    return json.dumps([parameters | {"witnesses": parts, "device": None}, extra], sort_keys=True)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, allow_nan=False).encode()


def collect_scores(estimator: Estimator, data: DataSet) -> dict[str, Any]:
    """Scores of every split, and for tasks with feedback also those on the test split in closed loop."""
    scores: dict[str, Any] = {name: split_scores(estimator, part.X, part.y) for name, part in data.splits.items()}
    if isinstance(estimator, SpikingClassifier) and data.task is not None and data.task.feedback is not None:
        scores["closed_loop"] = closed_loop_scores(estimator, data.task)
    return scores


def collect_metrics(estimator: Estimator, data: DataSet, seconds: float, scores: dict[str, Any]) -> dict[str, Any]:
    """What metrics.json says of a fit that took so many seconds."""
    metrics = fit_metrics(estimator, data.splits, scores)
    metrics["seconds"] = {"total": seconds, **metrics["seconds"]}
    return metrics | {"unseen_share": data.unseen_share}


def _certificates(stored: dict[str, Any]) -> dict[str, Any]:
    """Certificates by the name under which they are printed: that of the fit, or those of the members."""
    if "members" not in stored:
        return {"Certificate": stored}
    return {f"Certificate of member {k}; the mean has none": own for k, own in enumerate(stored["members"])}


def print_report(report: dict[str, Any], out: Path) -> None:
    """The certificate and the metrics as tables."""
    metrics = report["metrics"]
    if "search" in report:
        showing.print_search(report["search"])
    if "path" in report:
        showing.print_path(report["path"])
    for which, own in _certificates(report["certificate"]).items():
        output.print_facts(which, Certificate.from_json(json.dumps(own)).facts())
    facts: dict[str, Any] = {}
    for split in ("train", "val", "test", "closed_loop"):
        for name, value in metrics.get(split, {}).items():
            facts[f"{split} {name}"] = f"{value:.4f}" if name == "r2" else f"{100 * value:.2f} %"
    if metrics["test_error_bound"] is not None:
        facts["test error"] = shown_bound(metrics["test_error_bound"])
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
    if metrics["silent_neurons"]:
        facts["never spiking"] = f"{metrics['silent_neurons']} of the neurons, which pass the input on"
    if facts["test sequences not seen in training"] is None:
        del facts["test sequences not seen in training"]
    output.print_facts("Network", facts)
    output.say(f"written to {out}")
