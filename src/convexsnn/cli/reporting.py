"""What `convexsnn report` does: collect what is known of a fit, and write the page."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from convexsnn.cli.data import DataSet, from_file, from_task, stored_task, trained_on
from convexsnn.cli.folder import METRICS, PROOF, folder_problems, model_file
from convexsnn.cli.proof_lines import proof_lines
from convexsnn.cli.targets import check_target, is_page
from convexsnn.estimators import Estimator
from convexsnn.files import write_atomically
from convexsnn.report import PageContents, read_metrics, render
from convexsnn.report.writing import Verdict, verdict_on
from convexsnn.storage import load_model

PAGE = "report.html"


def report(
    model: Path,
    file: Path | None,
    data_dir: Path | None,
    out: Path | None,
    inputs: tuple[int, ...],
    *,
    verify: bool,
    force: bool,
) -> dict[str, Any]:
    """Write the page of a model's folder; returns where, what was verified and what is missing."""
    path = model_file(model)
    folder = model if model.is_dir() else model.parent
    out = folder / PAGE if out is None else out
    check_target(out, is_page, path, *([] if file is None else [file]), force=force)
    estimator, extra = load_model(path)
    data = _load_data(estimator, extra, file, data_dir)
    missing = data if isinstance(data, str) else ""
    holds, verdict = _verdict(model, estimator, data, verify=verify)
    contents = PageContents(
        estimator=estimator,
        title=trained_on(extra),
        metrics=_read_metrics(folder),
        splits={} if isinstance(data, str) else data.splits,
        source=_source(extra),
        missing=missing,
        verdict=verdict,
        holds=holds,
        inputs=inputs,
        words=proof_lines(folder / PROOF, estimator),
        version=version("convexsnn"),
    )
    write_atomically(out, render(contents).encode())
    return {"page": str(out), "holds": holds, "verdict": list(verdict), "missing": missing}


def _load_data(estimator: Estimator, extra: dict[str, Any], file: Path | None, data_dir: Path | None) -> DataSet | str:
    """The data of the file that was named, or those of the fit; or why they cannot be had."""
    if file is not None:
        return from_file(file, per_step=estimator.per_step)
    without = "there is no confusion matrix, no spike raster and no score against columns: name them with --data FILE"
    source = extra.get("source")
    try:
        if isinstance(source, dict) and source.get("data"):
            return from_file(Path(str(source["data"])), per_step=estimator.per_step)
        name, settings, factored = stored_task(extra, **({} if data_dir is None else {"data_dir": data_dir}))
        return from_task(name, settings, factored=factored)
    except (ValueError, OSError) as error:
        return f"The data of the fit cannot be loaded again ({error}), so {without}."


def _verdict(model: Path, estimator: Estimator, data: DataSet | str, *, verify: bool) -> Verdict:
    """Whether the files of the folder and the certificate hold, None where that was not looked at, and the words."""
    problems = folder_problems(model)
    if problems:
        return False, tuple(f"Does not hold: {problem}." for problem in problems)
    train = None if isinstance(data, str) else data.train
    return verdict_on(estimator, train) if verify or train is None else (None, ("Checking was turned off.",))


def _source(extra: dict[str, Any]) -> dict[str, Any]:
    source = extra.get("source")
    settings = source.get("settings") if isinstance(source, dict) else None
    return settings if isinstance(settings, dict) else {}


def _read_metrics(folder: Path) -> dict[str, Any]:
    """What fit measured; nothing where there is no such file. DamagedFileError when there is one that is damaged."""
    path = folder / METRICS
    return read_metrics(path) if path.is_file() else {}
