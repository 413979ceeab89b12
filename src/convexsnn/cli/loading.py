"""Loading the data that options name: those of a new fit, and those that a stored model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convexsnn.cli.data import DataSet, from_file, from_folder, from_task, stored_task, trained_on
from convexsnn.cli.options import DataOptions, FitData, check_no_folder
from convexsnn.estimators import Estimator
from convexsnn.estimators.rechecking import OTHER_DATA
from convexsnn.problem import Problem


class OtherDataError(ValueError):
    """The data named are not those that the model says it was trained on."""


def load_data(options: DataOptions, seed: int) -> DataSet:
    """The data of a new fit."""
    if options.data is not None:
        return _from_path(options.data, bool(options.per_step), options.timesteps)
    assert options.task is not None
    return from_task(options.task, options.settings(seed), factored=options.factored)


def load_fit_data(options: FitData, estimator: Estimator, extra: dict[str, Any]) -> DataSet:
    """The data, for a model and what else its file says; `OtherDataError` when these are not the model's."""
    if options.data is not None:
        return _from_path(options.data, estimator.per_step)
    if trained_on(extra) != options.task:
        raise OtherDataError(f"the model was trained on {trained_on(extra)}, not on task {options.task}")
    try:
        moved = {} if options.data_dir is None else {"data_dir": options.data_dir}
        name, settings, factored = stored_task(extra, **moved)
    except ValueError as error:
        raise OtherDataError(str(error)) from error
    return from_task(name, settings, factored=factored)


def _from_path(path: Path, per_step: bool, timesteps: int | None = None) -> DataSet:
    """The data of a file, or of a folder of batches, whose sequences have their own steps."""
    if path.is_dir():
        return from_folder(path, per_step=per_step)
    return from_file(path, per_step=per_step, timesteps=timesteps)


def load_unchanged(options: FitData, estimator: Estimator, extra: dict[str, Any]) -> tuple[DataSet, Problem]:
    """The data, and the problem that they make; ValueError unless they are those of the fit to the last bit."""
    estimator.check_one_fit("what the command works on")
    if options.data is not None:
        check_no_folder(options.data)
    data = load_fit_data(options, estimator, extra)
    problem = estimator.problem(data.train.X, data.train.y)
    if problem.data_digest != estimator.trained_.data_digest:
        raise ValueError(OTHER_DATA)
    return data, problem
