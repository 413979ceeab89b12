"""`convexsnn bench paper`: the jobs, and the tables and plots with the paper's figures beside ours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from convexsnn.bench.cells import CELLS, Cell, Figure
from convexsnn.bench.jobs import Job, mean_and_spread
from convexsnn.bench.methods import GROUPS
from convexsnn.bench.sections import Section
from convexsnn.display.axes import legend_above
from convexsnn.report.text_table import TextTable

# The paper's figures are rounded to a tenth; below that a difference means nothing.
ROUNDING = 0.1
HEAD = ("method", "test %", "the paper", "in 2 std", "train %", "beta", "worst gap", "columns", "seconds", "seeds")


def paper_jobs(
    cells: Sequence[Cell], methods: Iterable[str], seeds: Sequence[int], device: str, data_dir: Path | None
) -> list[Job]:
    """One job a cell, seed and group that holds one of the methods."""
    wanted = set(methods)
    groups = {name: [m for m in group.methods if m in wanted] for name, group in GROUPS.items()}
    return [
        Job(
            f"{cell.name}-{group}-{seed}",
            {
                "cell": asdict(cell),
                "group": group,
                "methods": chosen,
                "seed": seed,
                "device": device,
                "data_dir": None if data_dir is None or cell.task != "mnist" else str(data_dir),
            },
        )
        for cell in cells
        for seed in seeds
        for group, chosen in groups.items()
        if chosen
    ]


def paper_sections(rows: Sequence[dict[str, Any]], methods: Sequence[str]) -> list[Section]:
    """One section for each cell of the rows of all jobs: our figures beside the paper's, as tables and as a plot."""
    return [
        _section(cell, [row for row in rows if row["cell"] == cell], methods)
        for cell in dict.fromkeys(row["cell"] for row in rows)
    ]


def _section(cell: str, rows: list[dict[str, Any]], methods: Sequence[str]) -> Section:
    own = {method: [row for row in rows if row["method"] == method] for method in methods}
    own = {method: chosen for method, chosen in own.items() if chosen}
    paper = CELLS[cell].paper if cell in CELLS else {}
    lines = tuple(_line(method, chosen, paper.get(method)) for method, chosen in own.items())
    tables = (TextTable(cell, HEAD, lines), *_closed_loop_table(cell, own))
    caption = f"Test accuracy of each method on {cell}, with the standard deviation where there are several seeds"
    draw = lambda ax: _draw(ax, own, paper)  # noqa: E731
    return Section(cell, cell, tables, draw, caption, (6.0, 1.2 + 0.3 * len(own)))


def _line(method: str, rows: list[dict[str, Any]], figure: Figure | None) -> tuple[str, ...]:
    tests = _tests(rows)
    mean, std = float(np.mean(tests)), float(np.std(tests))
    theirs, within = "", ""
    if figure is not None:
        theirs = f"{figure[0]:.1f}" + (f" +- {figure[1]:.1f}" if figure[1] else "")
        spread = max(ROUNDING, math.hypot(std, figure[1]))
        within = "yes" if abs(mean - figure[0]) <= 2.0 * spread else f"no ({mean - figure[0]:+.1f})"
    certified = [row for row in rows if "relative_gap" in row]
    return (
        method,
        mean_and_spread(tests),
        theirs,
        within,
        f"{np.mean([row['train']['accuracy'] for row in rows]):.1f}",
        ", ".join(sorted({f"{row['beta']:g}" for row in certified})),
        f"{max(row['relative_gap'] for row in certified):.1e}" if certified else "not certified",
        f"{np.mean([row['columns'] for row in certified]):.0f}" if certified else "",
        f"{np.median([row['seconds'] for row in rows]):.1f}",
        str(len(rows)),
    )


def _tests(rows: list[dict[str, Any]]) -> list[float]:
    return [row["test"]["accuracy"] for row in rows]


def _closed_loop_table(cell: str, own: dict[str, list[dict[str, Any]]]) -> list[TextTable]:
    """Tokens and whole sequences right at each length, for tasks with feedback."""
    looped = {method: [row["closed_loop"] for row in rows if "closed_loop" in row] for method, rows in own.items()}
    looped = {method: chosen for method, chosen in looped.items() if chosen}
    if not looped:
        return []
    lengths = list(dict.fromkeys(digits for chosen in looped.values() for one in chosen for digits in one))
    mean = lambda chosen, digits, name: np.mean([one[digits][name] for one in chosen])  # noqa: E731
    lines = [
        (method, *(f"{mean(chosen, d, 'accuracy'):.1f} / {mean(chosen, d, 'sequence_accuracy'):.1f}" for d in lengths))
        for method, chosen in looped.items()
    ]
    head = ("method", *(f"{digits} digits" for digits in lengths))
    return [TextTable(f"{cell}, closed loop: tokens / sequences right in percent", head, tuple(lines))]


def _draw(ax: Any, own: dict[str, list[dict[str, Any]]], paper: dict[str, Figure]) -> None:
    """Our mean and spread as a dot with a bar, the paper's as a diamond; the first method on top."""
    places = {method: -k for k, method in enumerate(own)}
    means = [float(np.mean(_tests(rows))) for rows in own.values()]
    spreads = [float(np.std(_tests(rows))) for rows in own.values()]
    ax.errorbar(means, list(places.values()), xerr=spreads, fmt="o", capsize=3, label="here")
    known = [method for method in own if method in paper]
    if known:
        theirs = np.array([paper[method] for method in known])
        heights = [places[method] - 0.2 for method in known]
        ax.errorbar(theirs[:, 0], heights, xerr=theirs[:, 1], fmt="D", capsize=3, label="the paper")
    ax.set_yticks(list(places.values()), list(places))
    ax.set_ylim(0.6 - len(places), 0.6)
    ax.set_xlabel("test accuracy, %")
    ax.grid(axis="x", alpha=0.4)
    legend_above(ax)
