"""What `convexsnn bench` does: run jobs with a progress bar, then write tables, JSON and plots."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from convexsnn.bench.ablation import AXES, BASES, ablation_jobs, ablation_sections, run_ablation_job
from convexsnn.bench.cells import choose_cells
from convexsnn.bench.jobs import Job, TableRows, Workers, run_jobs
from convexsnn.bench.methods import METHODS, run_paper_job
from convexsnn.bench.paper import paper_jobs, paper_sections
from convexsnn.bench.sections import Section, markdown, page, write_plots
from convexsnn.checks import check_choice, check_integer
from convexsnn.cli import output
from convexsnn.cli.options import RunOptions
from convexsnn.files import write_atomically
from convexsnn.report.templates import require_pages


def paper(
    out: Path,
    cells: Sequence[str],
    methods: Sequence[str],
    runs: RunOptions,
    *,
    small: bool,
    plots: bool,
) -> dict[str, Any]:
    """Run the paper's cells and write paper.json, paper.md and, with `plots`, the plots and paper.html."""
    workers = Workers(runs.jobs, runs.backend, runs.address)
    _check_plots(plots)
    chosen = choose_cells(tuple(cells), small=small)
    wanted = tuple(check_choice("methods", method, METHODS) for method in methods) or METHODS
    work = paper_jobs(chosen, wanted, _seeds(runs.seeds, small=small), runs.device, runs.data_dir)
    rows, skipped = _run(work, run_paper_job, out, workers)
    kept = [row for row in rows if row["method"] in wanted]
    return _write(out, "paper", (kept, skipped), paper_sections(kept, wanted), plots=plots)


def ablation(
    out: Path,
    base: str,
    axes: Sequence[str],
    runs: RunOptions,
    *,
    plots: bool,
) -> dict[str, Any]:
    """Run ablations and write ablation.json, ablation.md and, with `plots`, the plots and ablation.html."""
    workers = Workers(runs.jobs, runs.backend, runs.address)
    _check_plots(plots)
    check_choice("base", base, BASES)
    chosen = [check_choice("axes", axis, AXES) for axis in axes] or list(AXES)
    work = ablation_jobs(base, chosen, _seeds(runs.seeds, small=False), runs.device, runs.data_dir)
    rows, skipped = _run(work, run_ablation_job, out, workers)
    return _write(out, "ablation", (rows, skipped), ablation_sections(rows), plots=plots)


def _check_plots(plots: bool) -> None:
    if plots:
        try:
            require_pages("the page of a bench")
        except ImportError as error:
            raise ValueError(f"{error}, or pass --no-plots") from error


def _seeds(seeds: Sequence[int], *, small: bool) -> tuple[int, ...]:
    return tuple(check_integer("seeds", seed, minimum=0) for seed in seeds) or ((0,) if small else (0, 1, 2))


def _run(jobs: Sequence[Job], run: Callable[[dict[str, Any], Path], TableRows], out: Path, workers: Workers) -> tuple:
    """The rows in the order of the jobs, and why some were skipped."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file: name a folder")
    rows: dict[str, TableRows] = {}
    skipped: dict[str, str] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.stderr, transient=True, disable=not output.stderr.is_terminal) as bars:
        bar = bars.add_task("bench", total=len(jobs))
        for outcome in run_jobs(jobs, run, out / "jobs", workers):
            rows[outcome.job.slug] = outcome.rows
            if outcome.skipped is not None:
                skipped[outcome.job.name] = outcome.skipped
            bars.update(bar, advance=1, description=outcome.job.name)
    return [row for job in jobs for row in rows[job.slug]], skipped


def _write(
    out: Path,
    name: str,
    outcome: tuple[TableRows, dict[str, str]],
    sections: Sequence[Section],
    *,
    plots: bool,
) -> dict[str, Any]:
    rows, skipped = outcome
    machine = f"{platform.machine()}, torch {torch.__version__}"
    if torch.cuda.is_available():
        machine += f", {torch.cuda.get_device_name()}"
    date = f"{datetime.now(tz=UTC):%Y-%m-%d}"
    measured = f"Measured {date} on {machine}, convexsnn {version('convexsnn')}."
    report: dict[str, Any] = {"machine": machine, "date": date, "rows": rows, "skipped": skipped}
    write_atomically(out / f"{name}.json", json.dumps(report, indent=1, allow_nan=False).encode())
    write_atomically(out / f"{name}.md", f"{markdown(sections)}\n{measured}\n".encode())
    if plots:
        words = [measured, *(f"Left out: {reason}" for reason in dict.fromkeys(skipped.values()))]
        write_atomically(out / f"{name}.html", page(f"bench {name}", sections, words).encode())
    drawn = [str(path) for path in write_plots(sections, out)] if plots else []
    return report | {"plots": drawn, "tables": [asdict(table) for section in sections for table in section.tables]}
