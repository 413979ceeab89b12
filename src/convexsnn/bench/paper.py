"""`convexsnn bench paper`: the jobs, and the table with the paper's figures beside ours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from convexsnn.bench.cells import CELLS, Cell
from convexsnn.bench.jobs import Job, mean_and_spread
from convexsnn.bench.methods import GROUPS

# The paper's figures are rounded to a tenth; below that a difference means nothing.
ROUNDING = 0.1


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


def paper_table(rows: Sequence[dict[str, Any]], methods: Sequence[str]) -> str:
    """The rows of all jobs as Markdown: test accuracy, mean and standard deviation over seeds, beside the paper's."""
    lines = [
        "| cell | method | test % | the paper | in 2 std | train % | beta | worst gap | columns | seconds | seeds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in dict.fromkeys(row["cell"] for row in rows):
        for method in methods:
            chosen = [row for row in rows if (row["cell"], row["method"]) == (cell, method)]
            if chosen:
                lines.append(_line(cell, method, chosen))
    lines += _closed_loop_table(rows, methods)
    return "\n".join(lines) + "\n"


def _line(cell: str, method: str, rows: list[dict[str, Any]]) -> str:
    tests = [row["test"]["accuracy"] for row in rows]
    mean, std = float(np.mean(tests)), float(np.std(tests))
    figure = CELLS[cell].paper.get(method) if cell in CELLS else None
    theirs, within = "", ""
    if figure is not None:
        theirs = f"{figure[0]:.1f}" + (f" +- {figure[1]:.1f}" if figure[1] else "")
        spread = max(ROUNDING, math.hypot(std, figure[1]))
        within = "yes" if abs(mean - figure[0]) <= 2.0 * spread else f"no ({mean - figure[0]:+.1f})"
    certified = [row for row in rows if "relative_gap" in row]
    gap = f"{max(row['relative_gap'] for row in certified):.1e}" if certified else "not certified"
    columns = f"{np.mean([row['columns'] for row in certified]):.0f}" if certified else ""
    betas = ", ".join(sorted({f"{row['beta']:g}" for row in certified}))
    train = np.mean([row["train"]["accuracy"] for row in rows])
    seconds = np.median([row["seconds"] for row in rows])
    ours = mean_and_spread(tests)
    return (
        f"| {cell} | {method} | {ours} | {theirs} | {within} | {train:.1f} | {betas} | {gap} | {columns} "
        f"| {seconds:.1f} | {len(rows)} |"
    )


def _closed_loop_table(rows: Sequence[dict[str, Any]], methods: Sequence[str]) -> list[str]:
    """Tokens and whole sequences right at each length, for tasks with feedback."""
    looped = [row for row in rows if "closed_loop" in row]
    if not looped:
        return []
    lengths = list(dict.fromkeys(digits for row in looped for digits in row["closed_loop"]))
    lines = [
        "",
        "Closed loop, tokens / sequences right in percent:",
        "",
        "| cell | method | " + " | ".join(f"{digits} digits" for digits in lengths) + " |",
        "|---|---|" + "---|" * len(lengths),
    ]
    for cell in dict.fromkeys(row["cell"] for row in looped):
        for method in methods:
            chosen = [row["closed_loop"] for row in looped if (row["cell"], row["method"]) == (cell, method)]
            if chosen:
                mean = lambda digits, name: np.mean([own[digits][name] for own in chosen])  # noqa: B023, E731
                entries = [f"{mean(d, 'accuracy'):.1f} / {mean(d, 'sequence_accuracy'):.1f}" for d in lengths]
                lines.append(f"| {cell} | {method} | " + " | ".join(entries) + " |")
    return lines
