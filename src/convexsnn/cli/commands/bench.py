"""`convexsnn bench paper` and `convexsnn bench ablation`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from convexsnn.cli import output
from convexsnn.cli.options import Json, RunOptions
from convexsnn.cli.starting import loading


def paper(
    *,
    out: Path,
    cells: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    methods: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    small: Annotated[bool, Parameter(negative="")] = False,
    runs: RunOptions | None = None,
    plots: bool = True,
    json: Json = False,
) -> int:
    """Rerun the paper's tables: test accuracy of each cell and method beside the paper's figure.

    Writes paper.json, paper.md, paper.html and a plot for each cell. Each finished run has a file in jobs/. Run the
    same command again to go on where it stopped.

    Parameters
    ----------
    out : Path
        Folder for the files.
    cells : str
        xor-T6-L5 ..., mnist-T14-L3 ..., addition-base2 ...; given several times for several; otherwise all.
    methods : str
        CVX, CVX-an, CVX-FT (gaussian witnesses; analog; fine-tuned), R, R-CVX, R-CVX-an (reservoir), SG, SG-CVX,
        SG-CVX-an, SG-CVX-same (surrogate gradients as in the paper), SG+, SG+-CVX (with a sensible trainer). Methods
        that share their hidden layers run together. Otherwise all.
    small : bool
        One cell of each task is run, cut down to about a minute.
    plots : bool
        The plots and the HTML page are written. They need matplotlib and jinja2.
    """
    with loading():
        from convexsnn.cli import benching
    report = benching.paper(out, cells, methods, runs or RunOptions(), small=small, plots=plots)
    return _print_bench(report, out, json)


def ablation(
    *,
    out: Path,
    base: str = "digits",
    axes: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    runs: RunOptions | None = None,
    plots: bool = True,
    json: Json = False,
) -> int:
    """Vary one setting at a time: accuracy and gap as tables and plots.

    Writes ablation.json, ablation.md, ablation.html and a plot for each axis. Each finished run has a file in jobs/.
    Run the same command again to go on where it stopped.

    Parameters
    ----------
    out : Path
        Folder for the files.
    base : str
        xor, addition, digits or mnist: the task and the settings around which one is varied.
    axes : str
        n_train, branches, last, depth, timesteps, beta, witnesses; given several times for several; otherwise all.
    plots : bool
        The plots and the HTML page are written. They need matplotlib and jinja2.
    """
    with loading():
        from convexsnn.cli import benching
    report = benching.ablation(out, base, axes, runs or RunOptions(), plots=plots)
    return _print_bench(report, out, json)


def _print_bench(report: dict[str, Any], out: Path, json: bool) -> int:
    if json:
        output.print_json(report)
    else:
        for table in report["tables"]:
            output.print_table(**table)
        for reason in dict.fromkeys(report["skipped"].values()):
            output.say(reason, head="skipped:", style="bold yellow", to=output.stderr)
        output.say(f"written to {out}")
    return 0
