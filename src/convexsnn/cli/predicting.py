"""What `convexsnn predict` does."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from convexsnn import closed_loop
from convexsnn.cli.data import read_input, stored_task
from convexsnn.cli.folder import model_file, read_model
from convexsnn.cli.targets import check_target, is_prediction
from convexsnn.data_files import read_arrays
from convexsnn.estimators import Estimator, SpikingClassifier
from convexsnn.files import write_atomically
from convexsnn.tasks import load_task, smallest


def predict(model: Path, data: Path, out: Path, *, in_closed_loop: bool, force: bool) -> dict[str, Any]:
    """Write what a model says of the sequences of a file to another file; returns what is in it."""
    check_target(out, is_prediction, model_file(model), data, force=force)
    estimator, extra = read_model(model)
    X = read_input(read_arrays(data, per_step=estimator.per_step), data)
    return _write_arrays(closed_loop_answers(estimator, extra, X) if in_closed_loop else answers(estimator, X), out)


def answers(estimator: Estimator, X: Any) -> dict[str, Any]:
    """Predictions, and scores and probabilities where the estimator has them, by name."""
    results: dict[str, Any] = {"prediction": estimator.predict(X)}
    if isinstance(estimator, SpikingClassifier):
        several = isinstance(estimator.classes_, list)
        results |= _numbered("scores", estimator.decision_function(X), several)
        if hasattr(estimator, "predict_proba"):
            results |= _numbered("probabilities", estimator.predict_proba(X), several)
    return results


def closed_loop_answers(estimator: Estimator, extra: dict[str, Any], X: Any) -> dict[str, Any]:
    """Predictions in closed loop, and the inputs that were generated, by name."""
    name, settings, factored = stored_task(extra)
    task = load_task(name, smallest(name, settings))
    loop = closed_loop.FeedbackLoop.of_task(task.factored() if factored else task)
    labels, inputs = closed_loop.predict_closed_loop(estimator, X, loop, return_inputs=True)  # type: ignore[arg-type]
    return {"prediction": labels, "inputs": inputs}


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
