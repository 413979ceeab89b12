"""Many independent runs, in parallel, each with a file of its own: a killed bench goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed, parallel_config

from convexsnn.checks import check_choice, check_integer
from convexsnn.files import write_atomically

logger = logging.getLogger(__name__)

TableRows = list[dict[str, Any]]
# Those of joblib that give outcomes as they come; dask is a cluster, of this machine or of many.
BACKENDS = ("loky", "threading", "dask")


class JobSkippedError(ValueError):
    """A run that cannot be done here, such as one whose data are missing; tried again the next time."""


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes
    ----------
    name : str
        For people and for the file's name.
    settings : dict
        JSON-compatible, and all that the outcome depends on.
    """

    name: str
    settings: dict[str, Any]

    @property
    def slug(self) -> str:
        """File name without extension: the name, and a hash of the settings."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()
        return f"{self.name}-{digest[:12]}"


@dataclass(frozen=True)
class JobOutcome:
    """What came of a job: rows of the table, or why there are none; `reused` when they came from a file."""

    job: Job
    rows: TableRows
    skipped: str | None = None
    reused: bool = False


@dataclass(frozen=True)
class Workers:
    """Who runs the jobs.

    Attributes
    ----------
    count : int
        So many run at once; with more than one, each has one thread. A cluster runs as many as it has workers.
    backend : str
        How joblib starts them, one of `BACKENDS`.
    address : str, optional
        Of the scheduler of the cluster, which backend "dask" needs and no other takes.

    Raises
    ------
    ValueError
        When a setting is out of range, or the cluster's library is not installed.
    """

    count: int = 1
    backend: str = "loky"
    address: str | None = None

    def __post_init__(self) -> None:
        check_integer("jobs", self.count)
        check_choice("backend", self.backend, BACKENDS)
        if (self.backend == "dask") != (self.address is not None):
            raise ValueError("address names the scheduler of backend 'dask': pass both, or neither")
        if self.backend == "dask" and find_spec("distributed") is None:
            raise ValueError("backend 'dask' needs dask.distributed: pip install 'dask[distributed]'")

    @property
    def alone(self) -> bool:
        """Whether the jobs run one after the other, in this process."""
        return self.count == 1 and self.backend != "dask"

    def outcomes(self, calls: Iterator[Any]) -> Iterator[JobOutcome]:
        """Those of joblib's delayed calls, as they come."""
        if self.backend == "dask":
            from distributed import Client

            with Client(self.address), parallel_config(backend="dask"):
                yield from Parallel(n_jobs=-1, return_as="generator_unordered")(calls)  # type: ignore[misc]
            return
        workers = Parallel(n_jobs=self.count, backend=self.backend, return_as="generator_unordered")
        yield from workers(calls)  # type: ignore[misc]


def run_jobs(
    jobs: Sequence[Job], run: Callable[[dict[str, Any], Path], TableRows], folder: Path, workers: Workers
) -> Iterator[JobOutcome]:
    """Outcomes as they come: first those whose files are in `folder`, then the others as they are run.

    Parameters
    ----------
    jobs : sequence of Job
    run : callable (settings, scratch path without extension) -> rows
        At the top level of a module, as it may be called in other processes. What it writes under the scratch path
        outlives a kill, so that it can go on; it is removed when the job is done.
    folder : Path
    workers : Workers
        They read and write the files of `folder`, so a cluster of several machines must share it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = []
    for job in jobs:
        rows = _read(folder / f"{job.slug}.json", job)
        if rows is None:
            missing.append(job)
        else:
            yield JobOutcome(job, rows, reused=True)
    if workers.alone:
        yield from (_run(job, run, folder, one_thread=False) for job in missing)
    else:
        yield from workers.outcomes(delayed(_run)(job, run, folder, one_thread=True) for job in missing)


def mean_and_spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds for a table; of one seed the value alone."""
    mean = f"{np.mean(values):.1f}"
    return f"{mean} +- {np.std(values):.1f}" if len(values) > 1 else mean


def _run(job: Job, run: Callable[[dict[str, Any], Path], TableRows], folder: Path, *, one_thread: bool) -> JobOutcome:
    if one_thread:
        torch.set_num_threads(1)
    try:
        rows = run(job.settings, folder / job.slug)
    except JobSkippedError as reason:
        return JobOutcome(job, [], skipped=str(reason))
    content = json.dumps({"name": job.name, "settings": job.settings, "rows": rows}, indent=1, allow_nan=False)
    write_atomically(folder / f"{job.slug}.json", content.encode())
    for scratch in folder.glob(f"{job.slug}.*"):
        if scratch.suffix != ".json":
            scratch.unlink()
    return JobOutcome(job, json.loads(content)["rows"])  # as they will be read the next time


def _read(path: Path, job: Job) -> TableRows | None:
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text())
        same = content["settings"] == json.loads(json.dumps(job.settings))
        return list(content["rows"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        logger.warning("%s is damaged: its run is done again", path)
        return None
