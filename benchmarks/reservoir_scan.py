"""Settings of the paper's reservoir grid on XOR: what R and R-CVX reach at each of them, and how critical it is.

    python benchmarks/reservoir_scan.py [--cells xor-T6-L5] [--seeds 0]
    python benchmarks/reservoir_scan.py --cells xor-T6-L5 xor-T8-L5 --seeds 0 1 2 --at 0.95 1.5 4

All 64 settings, or one of them: leak, threshold and input scale. Shows which the branching ratio prefers (of the layer
farthest from 1, and of all neurons), and whether any gives the paper's R, R-CVX and R-CVX-an together. R reads the
analog membrane of the delayed reset, as it is and with each column of the training rows scaled to length 1; the others
read the soft reset's, R-CVX with the paper's readout 1[v >= 0] and, beside it, with the last step's spikes. Prints a
Markdown table for each cell, the settings nearest to criticality first, means and standard deviations over seeds; and
how many settings come within two standard deviations of the paper in all three, for each way to read.
"""

from __future__ import annotations

import argparse
import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import track

from convexsnn import Architecture, SpikingClassifier, as_sequences, gaussian
from convexsnn.bench.cells import CELLS, Cell
from convexsnn.labels import decide
from convexsnn.network import Hidden
from convexsnn.ridge import LAMBDAS, ridge_path
from convexsnn.simulation import simulate_chunks
from convexsnn.tasks import TaskData, TaskSettings, load_task
from convexsnn.witnesses import ReservoirGrid
from convexsnn.witnesses.reservoir import SAMPLE, ReservoirSetting, branching_ratio, set_reservoir, spikes_per_step

# Standard deviations below this many points, over three seeds, are taken as this.
LEAST_STD = 1.0
SPLITS = ("train", "val", "test")
READOUTS = ("membrane", "spike", "analog")
ACCURACIES = slice(4, None)


class Line(NamedTuple):
    """At one setting: how critical it is, spikes of the last layer a step, and accuracies in percent."""

    setting: tuple[float, float, float]
    distance: float
    pooled: float
    last: float
    R: float
    R_unit: float
    membrane: float
    spike: float
    analog: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [name for name in CELLS if name.startswith("xor")]
    parser.add_argument("--cells", nargs="+", default=["xor-T6-L5"], choices=names, metavar="CELL")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--at", nargs=3, type=float, metavar=("LEAK", "THRESHOLD", "SCALE"))
    options = parser.parse_args()
    grid = ReservoirGrid()
    everywhere = itertools.product(grid.leaks, grid.thresholds, grid.input_scales)
    settings = [tuple(options.at)] if options.at else list(everywhere)
    warnings.simplefilter("ignore")  # of settings at which nothing fires
    for name in options.cells:
        runs = [scan(name, seed, settings) for seed in options.seeds]
        show(name, [summary(of_setting) for of_setting in zip(*runs, strict=True)])


def show(cell_name: str, lines: list[tuple[Line, Line]]) -> None:
    """Means and standard deviations of each setting, the most critical first."""
    header = "leak | threshold | input scale | farthest layer | all neurons | last layer"
    print(f"\n{cell_name}\n\n| {header} | R % | unit columns | R-CVX % | of spikes | R-CVX-an % |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for means, stds in sorted(lines, key=lambda line: line[0].distance):
        facts = [*(f"{value:g}" for value in means.setting), f"{means.distance:.3f}", f"{means.pooled:.3f}"]
        facts += [f"{means.last:.2f}"]
        facts += [f"{mean:.1f} +- {std:.1f}" for mean, std in zip(means[ACCURACIES], stds[ACCURACIES], strict=True)]
        print(f"| {' | '.join(facts)} |")
    print(f"\n{len(lines)} settings; within two standard deviations of the paper's R, R-CVX and R-CVX-an together:")
    for ridge, readout in itertools.product(("R", "R_unit"), ("membrane", "spike")):
        count = sum(as_the_paper(cell_name, *line, ridge, readout) for line in lines)
        way = "columns as they are" if ridge == "R" else "unit columns"
        print(f"{count} with {way} and readout {readout}", flush=True)


def summary(runs: Sequence[Line]) -> tuple[Line, Line]:
    """Means and standard deviations over the seeds of one setting."""
    facts = np.array([run[1:] for run in runs])
    return Line(runs[0].setting, *facts.mean(axis=0)), Line(runs[0].setting, *facts.std(axis=0))


def as_the_paper(cell_name: str, means: Line, stds: Line, ridge: str, readout: str) -> bool:
    """Whether all three are as near as two standard deviations, both together, as in `convexsnn bench paper`."""
    paper = CELLS[cell_name].paper
    return all(
        abs(getattr(means, ours) - paper[theirs][0])
        <= 2.0 * max(LEAST_STD, math.hypot(getattr(stds, ours), paper[theirs][1]))
        for theirs, ours in (("R", ridge), ("R-CVX", readout), ("R-CVX-an", "analog"))
    )


def scan(cell_name: str, seed: int, settings: list[tuple[float, float, float]]) -> list[Line]:
    cell = CELLS[cell_name]
    task = load_task(cell.task, TaskSettings(*cell.sizes, cell.timesteps, seed=seed))
    train = as_sequences(task.train.X)
    architecture = Architecture(train.n_features, depth=cell.depth, hidden=cell.hidden, last=cell.last)
    drawn, drawn_late = (
        gaussian(replace(architecture, reset=reset), torch.Generator().manual_seed(seed), "normalized")
        for reset in ("soft", "delayed")
    )
    shown, lines = train.take(slice(0, SAMPLE)), []
    for setting in track(settings, f"{cell_name}, seed {seed}", disable=None):
        hidden, theirs = set_reservoir(drawn, *setting), set_reservoir(drawn_late, *setting)
        activity = spikes_per_step(theirs, shown)
        ratios = [branching_ratio(of_layer, shown.lengths) for of_layer in activity]
        distance = ReservoirSetting(*setting, tuple(ratios), rate=0.0).distance
        pooled = branching_ratio(activity.sum(dim=0), shown.lengths)
        ridge = ridge_accuracies(replace(theirs, readout="analog"), task)
        convex = [accuracy(replace(hidden, readout=readout), cell, task, seed) for readout in READOUTS]
        lines.append(Line(setting, distance, pooled, float(activity[-1].mean()), *ridge, *convex))
    return lines


def ridge_accuracies(hidden: Hidden, task: TaskData) -> tuple[float, float]:
    """Test accuracy in percent of ridge readouts, lambda chosen on validation: columns as they are, and scaled."""
    labels = {name: torch.from_numpy(getattr(task, name).y) for name in SPLITS}
    features = {name: columns_of(hidden, getattr(task, name).X) for name in SPLITS}
    targets = 2.0 * torch.nn.functional.one_hot(labels["train"], 2).double() - 1.0
    right = lambda name, W: 100.0 * float((decide(features[name] @ W) == labels[name]).double().mean())  # noqa: E731
    norms = features["train"].norm(dim=0).clamp(min=1e-12)
    found = []
    for scale in (torch.ones_like(norms), norms):
        solutions = ridge_path(features["train"] / scale, targets, LAMBDAS)
        best = max(solutions, key=lambda W: right("val", W / scale.unsqueeze(1)))
        found.append(right("test", best / scale.unsqueeze(1)))
    return found[0], found[1]


def columns_of(hidden: Hidden, X: np.ndarray) -> torch.Tensor:
    return torch.cat([part.features.double() for part in simulate_chunks(hidden, as_sequences(X))])


def accuracy(hidden: Hidden, cell: Cell, task: TaskData, seed: int) -> float:
    """Test accuracy in percent of a convex readout, beta chosen on validation."""
    model = SpikingClassifier(loss=cell.loss, witnesses=hidden, beta=list(cell.betas), random_state=seed)
    model.fit(task.train.X, task.train.y, validation=(task.val.X, task.val.y))
    return 100.0 * model.score(task.test.X, task.test.y)


if __name__ == "__main__":
    main()
