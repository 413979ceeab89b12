"""What the command line shows of certificates, paths and searches, and of the progress of work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.table import Table

from convexsnn.cli.output import say, stderr, stdout
from convexsnn.cli.torchrun import speaks
from convexsnn.observer import Observer
from convexsnn.progress import bars
from convexsnn.solvers import Status


def proof_facts(exact: Mapping[str, Any]) -> dict[str, Any]:
    """What was proved exactly, and on what it rests; the numbers are rounded outwards."""
    return {
        "optimum at most": exact["primal"],
        "optimum at least": exact["dual"],
        "gap at most": exact["gap"],
        "relative gap at most": "unbounded: the objective is zero"
        if exact["relative_gap"] is None
        else exact["relative_gap"],
        "arithmetic": exact["arithmetic"],
        "seconds": f"{exact['seconds']:.2f}",
        "trusted": "\n".join(exact["trusted"]),
    }


@contextmanager
def progress(tol: float) -> Iterator[Observer]:
    """An observer that shows bars on a terminal (standard error) and is quiet otherwise."""
    if not (stderr.is_terminal and speaks()):
        yield Observer()
        return
    with bars(tol, stderr) as observer:
        yield observer


def print_path(path: dict[str, Any]) -> None:
    """The betas that were compared, a line each."""
    table = Table(title="Path", title_justify="left")
    for column in ("beta", "objective", "gap", "support", "train", "val", "seconds", ""):
        table.add_column(column, justify="right", no_wrap=True)
    for point in path["points"]:
        certificate = point["certificate"]
        gap = certificate["relative_gap"]
        facts = [f"{point['beta']:.3g}", f"{certificate['primal']:.6g}", "inf" if gap is None else f"{gap:.1e}"]
        scores = ["-" if point[name] is None else f"{point[name]:.4f}" for name in ("train_score", "validation_score")]
        marks = ["picked"] if point["picked"] else []
        marks += [] if point["status"] == Status.CONVERGED.name else [point["status"].lower()]
        table.add_row(*facts, str(point["support"]), *scores, f"{point['seconds']:.2f}", ", ".join(marks))
    stdout.print(table)
    if path["retrained_on_all"]:
        say("the scores are of a part held out; the network was then trained on all sequences at the picked beta")


def print_search(search: dict[str, Any]) -> None:
    """The rounds of a search, a line each, and why it ended."""
    table = Table(title="Search", title_justify="left")
    for column in (
        "round",
        "objective",
        "lower bound",
        "global bound",
        "columns",
        "used",
        "best score",
        "val",
        "seconds",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in search["rounds"]:
        score = entry["validation_score"]
        table.add_row(
            str(entry["number"]),
            f"{entry['objective']:.6g}",
            "-" if entry["dual"] is None else f"{entry['dual']:.6g}",
            f"{entry['global_bound']:.4g}",
            str(entry["columns"]),
            str(entry["support"]),
            f"{entry['best_score']:.3g}",
            "-" if score is None else f"{score:.4f}",
            f"{entry['seconds']:.1f}",
        )
    stdout.print(table)
    say(f"the search ended: {search['stopped']}")
