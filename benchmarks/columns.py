"""Test accuracy against the columns that carry weight: searched neurons and gaussian ones.

    python benchmarks/columns.py [--tasks xor-T8 digits mnist-T14] [--data-dir DIR] [--out columns.json]
                                 [--figure docs/figures/columns.svg]

A searched network is sought anew for each size. Of random neurons a few large dictionaries are drawn, and, on images,
one with recurrent weights, which the searched neurons have there. Every point is a support: the columns that a
larger rho leaves, with the weights that are optimal for the smallest rho on these columns alone: a large rho also
shrinks what they weigh. The table says how many columns each needs at least to reach an accuracy. Points are written
to --out as they come, and are not computed again when they are there already.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from rich.progress import track

from convexsnn import Gaussian, Search, SpikingClassifier
from convexsnn.families import WitnessFamily
from convexsnn.files import write_atomically
from convexsnn.network import Hidden
from convexsnn.tasks import TaskSettings, load_task

# Multiples of rho by which columns are chosen, beside rho itself.
FACTORS = (3.0, 10.0, 20.0, 30.0, 60.0, 100.0)
SEARCHED = "searched"


@dataclass(frozen=True)
class Case:
    """A task, its sizes, the estimator's settings, the searches, and gaussian dictionaries by number of neurons.

    `shape` is what searched and random neurons have alike. `recurrent` says whether searched neurons have recurrent
    weights; random ones are then tried with them, too.
    """

    task: str
    sizes: tuple[int, int, int]
    timesteps: int | None
    settings: dict[str, Any]
    shape: dict[str, Any]
    searches: tuple[dict[str, Any], ...]
    gaussian: tuple[int, ...]
    recurrent: bool = False

    def families(self) -> Iterator[tuple[str, WitnessFamily]]:
        """Each curve's label with the family of one of its fits, which are one dictionary each."""
        for how in self.searches:
            yield SEARCHED, Search(**self.shape, recurrent=self.recurrent, prune=0, slim=False, **how)
        for last in self.gaussian:
            yield "gaussian", self._random(last)
        if self.recurrent:  # far worse, so one size must do
            yield "gaussian, recurrent", self._random(1024).with_params(recurrent=True)

    def _random(self, last: int) -> Gaussian:
        family = Gaussian(**self.shape, last=last)
        return family if family.depth == 2 else family.with_params(hidden=last // 2)


def trained(block: int, dropout: float) -> dict[str, Any]:
    """One branch of so many neurons that surrogate gradients give, once."""
    once = {"oracles": ("ascent",), "stages": (1.0,), "rounds": 1, "attempts": 1, "effort": 2e11}
    return once | {"block": block, "dropout": dropout}


SIZES = ((8, 0.0), (12, 0.0), (16, 0.0), (24, 0.0), (32, 0.0), (64, 0.1), (128, 0.2), (256, 0.3))
TRAINED = tuple(trained(block, dropout) for block, dropout in SIZES)
CASES = {
    "xor-T8": Case(
        "first-last-xor",
        (2000, 2000, 4000),
        8,
        {"loss": "hinge", "beta": 0.01},
        {"depth": 3, "readout": "spike"},
        ({},),
        (64, 128, 256, 512, 1024),
    ),
    "digits": Case(
        "digits",
        (1203, 297, 297),
        None,
        {"penalty": "group", "beta": 0.1, "tol": 1e-3},
        {"depth": 2},
        TRAINED,
        (1024, 4096),
        recurrent=True,
    ),
    "mnist-T14": Case(
        "mnist",
        (6000, 2000, 2000),
        14,
        {"penalty": "group", "beta": 0.03, "tol": 1e-3},
        {"depth": 2, "readout": "spike", "dtype": "float32"},
        TRAINED,
        (512, 1024),
        recurrent=True,
    ),
}
Point = tuple[int, float]


def points(case: Case, task: Any, family: WitnessFamily) -> list[Point]:
    """Columns and test accuracy for rho and its multiples, on the neurons that the first fit has drawn or found."""
    settings = case.settings | {"random_state": 0}
    first = SpikingClassifier(witnesses=family, **settings).fit(task.train.X, task.train.y)
    rho = first.certificate_.rho

    def refit(hidden: Hidden, factor: float) -> SpikingClassifier:
        again = SpikingClassifier(witnesses=hidden, rho=rho * factor, **settings)
        return again.fit(task.train.X, task.train.y)

    def point(model: SpikingClassifier) -> Point:
        return model.certificate_.support, 100.0 * model.score(task.test.X, task.test.y)

    found = [point(first)] if first.certificate_.support else []
    for factor in FACTORS:
        few = refit(first.network_.hidden, factor)
        if few.certificate_.support:
            found.append(point(refit(few.network_.hidden, 1.0)))
    return found


@dataclass(frozen=True)
class Results:
    """Points of each dictionary, by task and family, kept in a file."""

    path: Path
    points: dict[str, list[Point]] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Path) -> Results:
        kept = json.loads(path.read_text()) if path.exists() else {}
        return cls(path, {key: [tuple(point) for point in found] for key, found in kept.items()})

    def add(self, key: str, found: list[Point]) -> None:
        self.points[key] = found
        write_atomically(self.path, json.dumps(self.points, indent=1).encode())


def key_of(name: str, family: WitnessFamily) -> str:
    return f"{name} {json.dumps(family.to_dict(), sort_keys=True)}"


def compute(results: Results, names: list[str], data_dir: Path | None) -> None:
    """What is not there yet."""
    jobs = [(name, family) for name in names for _, family in CASES[name].families()]
    for name, family in track(jobs, description="dictionaries", disable=None):
        key = key_of(name, family)
        if key not in results.points:
            case = CASES[name]
            folder = data_dir if case.task == "mnist" else None
            task = load_task(case.task, TaskSettings(*case.sizes, case.timesteps, seed=0, data_dir=folder))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results.add(key, points(case, task, family))


def curves(results: Results, name: str) -> dict[str, list[Point]]:
    """Points of a task by label."""
    found: dict[str, list[Point]] = {}
    for label, family in CASES[name].families():
        found.setdefault(label, []).extend(results.points[key_of(name, family)])
    return found


def needed(found: list[Point], accuracy: float) -> int | None:
    """The fewest columns with which so much is reached."""
    return min((columns for columns, score in found if score >= accuracy), default=None)


def print_table(name: str, found: dict[str, list[Point]]) -> None:
    """At the best accuracy of random neurons, a little below it, and what only searched ones reach."""
    random = [point for label, some in found.items() if label != SEARCHED for point in some]
    best, most = max(score for _, score in random), max(score for _, score in found[SEARCHED])
    for level in sorted({best - 10.0, best - 5.0, best - 1.0, best, most}):
        ours, theirs = needed(found[SEARCHED], level), needed(random, level)
        ratio = f"{theirs / ours:.0f}" if ours and theirs else "-"
        print(f"| {name} | {level:.1f} | {ours or '-'} | {theirs or '-'} | {ratio} |", flush=True)


def draw(results: Results, names: list[str], path: Path) -> None:
    """One panel a task; lines join the fewest columns that reach each accuracy."""
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "columns"  # the same file from the same points
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(names), figsize=(4.2 * len(names), 3.6), layout="constrained")
    for name, ax in zip(names, np.atleast_1d(axes), strict=True):
        for label, found in curves(results, name).items():
            front, best = [], -np.inf
            for columns, score in sorted(found):
                if score > best:
                    front, best = [*front, (columns, score)], score
            (line,) = ax.plot(*zip(*front, strict=True), "-", label=label)
            ax.plot(*zip(*found, strict=True), ".", color=line.get_color(), markersize=4)
        ax.set(xscale="log", xlabel="columns with weight", ylabel="test accuracy, %", title=name)
        ax.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="*", choices=sorted(CASES), default=list(CASES))
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("columns.json"))
    parser.add_argument("--figure", type=Path, default=None)
    options = parser.parse_args()
    results = Results.at(options.out)
    compute(results, options.tasks, options.data_dir)
    print("| task | test % | columns, searched | columns, gaussian | ratio |\n|---|---|---|---|---|")
    for name in options.tasks:
        print_table(name, curves(results, name))
    if options.figure is not None:
        draw(results, options.tasks, options.figure)


if __name__ == "__main__":
    main()
