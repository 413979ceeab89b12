"""Test accuracy against the columns that carry weight: searched neurons and gaussian ones of the same kind.

    python benchmarks/columns.py [--tasks xor-T8 digits mnist-T14] [--data-dir DIR] [--figure docs/figures/columns.svg]

Each family is drawn or searched once a size. Every point is a support: the columns that a larger rho leaves, with the
weights that are optimal for the smallest rho on these columns alone: a large rho also shrinks what they weigh. The
table says how many columns each needs at least to reach an accuracy.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from convexsnn import SpikingClassifier
from convexsnn.network import Hidden
from convexsnn.tasks import TaskSettings, load_task

# Multiples of rho by which columns are chosen.
FACTORS = (1.0, 3.0, 10.0, 20.0, 30.0, 60.0)


@dataclass(frozen=True)
class Case:
    """A task, its sizes, the estimator's settings, the seconds of the search and the sizes of gaussian dictionaries."""

    task: str
    sizes: tuple[int, int, int]
    timesteps: int | None
    seconds: float
    gaussian: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)


RECURRENT = {"depth": 2, "recurrent": True, "readout": "spike", "beta": 0.03}
CASES = {
    "xor-T8": Case(
        "first-last-xor",
        (2000, 2000, 4000),
        8,
        60.0,
        (64, 128, 256, 512, 1024),
        {"loss": "hinge", "depth": 3, "readout": "spike", "beta": 0.01},
    ),
    "digits": Case(
        "digits",
        (1203, 297, 297),
        None,
        60.0,
        (1024, 4096),
        {"depth": 2, "penalty": "group", "beta": 0.1, "tol": 1e-3},
        {"oracles": ("ascent",), "stages": (1.0,)},
    ),
    "mnist-T14": Case(
        "mnist",
        (6000, 2000, 2000),
        14,
        240.0,
        (1024, 4096),
        RECURRENT | {"tol": 1e-3, "penalty": "group", "dtype": "float32"},
        {"oracles": ("ascent",), "block": 512, "stages": (1.0,)},
    ),
}
Point = tuple[int, float]


def points(case: Case, task: Any, witnesses: Any, **more: Any) -> list[Point]:
    """Columns and test accuracy for each multiple of rho, on the neurons that the first fit has drawn or found."""
    settings = case.settings | {"random_state": 0}
    first = SpikingClassifier(**settings, witnesses=witnesses, **more).fit(task.train.X, task.train.y)
    rho, found = first.certificate_.rho, []

    def refit(hidden: Hidden, factor: float) -> SpikingClassifier:
        again = settings | {"witnesses": hidden, "rho": rho * factor}
        return SpikingClassifier(**again).fit(task.train.X, task.train.y)

    for factor in FACTORS:
        few = refit(first.network_.hidden, factor)
        if few.certificate_.support:
            model = refit(few.network_.hidden, 1.0)
            found.append((model.certificate_.support, 100.0 * model.score(task.test.X, task.test.y)))
    return found


def needed(found: list[Point], accuracy: float) -> str:
    reached = [columns for columns, score in found if score >= accuracy]
    return str(min(reached)) if reached else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="*", choices=sorted(CASES), default=list(CASES))
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--figure", type=Path, default=None)
    options = parser.parse_args()
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(options.tasks), figsize=(4.2 * len(options.tasks), 3.6), layout="constrained")
    print("| task | test % | columns, searched | columns, gaussian |\n|---|---|---|---|")
    for name, ax in zip(options.tasks, np.atleast_1d(axes), strict=True):
        case = CASES[name]
        folder = options.data_dir if case.task == "mnist" else None
        task = load_task(case.task, TaskSettings(*case.sizes, case.timesteps, seed=0, data_dir=folder))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            how = case.search | {"seconds": case.seconds, "prune": 0}
            searched = points(case, task, "search", search=how)
            gaussian = [
                p for last in case.gaussian for p in points(case, task, "gaussian", last=last, hidden=last // 2)
            ]
        best = max(score for _, score in gaussian)
        levels = sorted({best, best - 1.0, best - 5.0, max(score for _, score in searched)})
        for level in levels:
            print(f"| {name} | {level:.1f} | {needed(searched, level)} | {needed(gaussian, level)} |", flush=True)
        for label, found in (("searched", searched), ("gaussian", gaussian)):
            ax.plot(*zip(*sorted(found), strict=True), ".", label=label)
        ax.set(xscale="log", xlabel="columns with weight", ylabel="test accuracy, %", title=name)
        ax.legend()
    if options.figure is not None:
        figure.savefig(options.figure)


if __name__ == "__main__":
    main()
