"""Every setting of the paper's reservoir grid on one XOR cell: what R and R-CVX reach there, and how critical it is.

    python benchmarks/reservoir_scan.py [--cell xor-T6-L5] [--seed 0]

Shows which settings the branching ratio prefers (of all neurons, and of the layer farthest from 1), and whether any
setting gives the paper's R, R-CVX and R-CVX-an together. R reads the analog membrane of the delayed reset, as it is and
with each column of the training rows scaled to length 1; the others read the soft reset's, R-CVX with the paper's
readout 1[v >= 0] and, beside it, with the last step's spikes. Prints a Markdown table, the nearest to criticality
first, and how many settings come within two standard deviations of the paper in all three, for each way to read.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
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


class Line(NamedTuple):
    setting: tuple[float, float, float]
    distance: float
    pooled: float
    R: float
    R_unit: float
    membrane: float
    spike: float
    analog: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="xor-T6-L5", choices=[name for name in CELLS if name.startswith("xor")])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of settings at which nothing fires
    lines = sorted(scan(options.cell, options.seed), key=lambda line: line.distance)
    header = "leak | threshold | input scale | farthest layer | all neurons"
    print(f"| {header} | R % | unit columns | R-CVX % | of spikes | R-CVX-an % |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for line in lines:
        facts = [*(f"{value:g}" for value in line.setting), f"{line.distance:.3f}", f"{line.pooled:.3f}"]
        facts += [f"{value:.1f}" for value in line[3:]]
        print(f"| {' | '.join(facts)} |")
    print(f"\n{len(lines)} settings; within two standard deviations of the paper's R, R-CVX and R-CVX-an together:")
    for ridge, readout in itertools.product(("R", "R_unit"), ("membrane", "spike")):
        count = sum(as_the_paper(options.cell, line, ridge, readout) for line in lines)
        print(f"{count} with {'columns as they are' if ridge == 'R' else 'unit columns'} and readout {readout}")


def as_the_paper(cell_name: str, line: Line, ridge: str, readout: str) -> bool:
    paper = CELLS[cell_name].paper
    ours = {"R": getattr(line, ridge), "R-CVX": getattr(line, readout), "R-CVX-an": line.analog}
    return all(abs(value - paper[name][0]) <= 2.0 * max(paper[name][1], LEAST_STD) for name, value in ours.items())


def scan(cell_name: str, seed: int) -> list[Line]:
    cell, grid = CELLS[cell_name], ReservoirGrid()
    task = load_task(cell.task, TaskSettings(*cell.sizes, cell.timesteps, seed=seed))
    train = as_sequences(task.train.X)
    architecture = Architecture(train.n_features, depth=cell.depth, hidden=cell.hidden, last=cell.last)
    drawn, drawn_late = (
        gaussian(replace(architecture, reset=reset), torch.Generator().manual_seed(seed), "normalized")
        for reset in ("soft", "delayed")
    )
    shown, lines = train.take(slice(0, SAMPLE)), []
    settings = list(itertools.product(grid.leaks, grid.thresholds, grid.input_scales))
    for setting in track(settings, "settings", disable=None):
        hidden, theirs = set_reservoir(drawn, *setting), set_reservoir(drawn_late, *setting)
        activity = spikes_per_step(theirs, shown)
        ratios = [branching_ratio(of_layer, shown.lengths) for of_layer in activity]
        distance = ReservoirSetting(*setting, tuple(ratios), rate=0.0).distance
        pooled = branching_ratio(activity.sum(dim=0), shown.lengths)
        ridge = ridge_accuracies(replace(theirs, readout="analog"), task)
        convex = [accuracy(replace(hidden, readout=readout), cell, task, seed) for readout in READOUTS]
        lines.append(Line(setting, distance, pooled, *ridge, *convex))
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
