"""Every setting of the paper's reservoir grid on one XOR cell: what R and R-CVX reach there, and how critical it is.

    python benchmarks/reservoir_scan.py [--cell xor-T6-L5] [--seed 0]

Shows which settings the branching ratio prefers (of all neurons, and of the layer farthest from 1), and whether any
setting gives the paper's R, R-CVX and R-CVX-an together: R on the analog membrane of the delayed reset, the others in
the soft reset's, R-CVX with the paper's readout 1[v >= 0] and, beside it, with the last step's spikes. Prints a
Markdown table, the nearest to criticality first, and how many settings come within two standard deviations of the
paper in all three, with either readout.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from dataclasses import replace
from typing import NamedTuple

import torch

from convexsnn import Architecture, SpikingClassifier, as_sequences, gaussian
from convexsnn.bench.cells import CELLS, Cell
from convexsnn.labels import decide
from convexsnn.network import Hidden
from convexsnn.ridge import fit_ridge
from convexsnn.simulation import scores
from convexsnn.tasks import TaskData, TaskSettings, load_task
from convexsnn.validation import Validation
from convexsnn.witnesses import ReservoirGrid
from convexsnn.witnesses.reservoir import SAMPLE, ReservoirSetting, branching_ratio, set_reservoir, spikes_per_step

# Standard deviations below this many points, over three seeds, are taken as this.
LEAST_STD = 1.0
READOUTS = ("membrane", "spike", "analog")


class Line(NamedTuple):
    setting: tuple[float, float, float]
    distance: float
    pooled: float
    R: float
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
    print("| leak | threshold | input scale | farthest layer | all neurons | R % | R-CVX % | of spikes | R-CVX-an % |")
    print("|---|---|---|---|---|---|---|---|---|")
    for line in lines:
        facts = [*(f"{value:g}" for value in line.setting), f"{line.distance:.3f}", f"{line.pooled:.3f}"]
        facts += [f"{value:.1f}" for value in (line.R, line.membrane, line.spike, line.analog)]
        print(f"| {' | '.join(facts)} |")
    print(f"\n{len(lines)} settings; within two standard deviations of the paper's R, R-CVX and R-CVX-an together:")
    for readout in ("membrane", "spike"):
        print(f"{sum(as_the_paper(options.cell, line, readout) for line in lines)} with readout {readout}")


def as_the_paper(cell_name: str, line: Line, readout: str) -> bool:
    paper = CELLS[cell_name].paper
    ours = {"R": line.R, "R-CVX": getattr(line, readout), "R-CVX-an": line.analog}
    return all(abs(value - paper[name][0]) <= 2.0 * max(paper[name][1], LEAST_STD) for name, value in ours.items())


def scan(cell_name: str, seed: int) -> list[Line]:
    cell, grid = CELLS[cell_name], ReservoirGrid()
    task = load_task(cell.task, TaskSettings(*cell.sizes, cell.timesteps, seed=seed))
    train, val, test = (as_sequences(part.X) for part in (task.train, task.val, task.test))
    labels = {name: torch.from_numpy(getattr(task, name).y) for name in ("train", "val", "test")}
    validation = Validation(val, lambda S: float((decide(S) == labels["val"]).double().mean()))
    targets = 2.0 * torch.nn.functional.one_hot(labels["train"], 2).double() - 1.0
    architecture = Architecture(train.n_features, depth=cell.depth, hidden=cell.hidden, last=cell.last)
    drawn, drawn_late = (
        gaussian(replace(architecture, reset=reset), torch.Generator().manual_seed(seed), "normalized")
        for reset in ("soft", "delayed")
    )
    shown, lines = train.take(slice(0, SAMPLE)), []
    for setting in itertools.product(grid.leaks, grid.thresholds, grid.input_scales):
        hidden, theirs = set_reservoir(drawn, *setting), set_reservoir(drawn_late, *setting)
        activity = spikes_per_step(theirs, shown)
        ratios = [branching_ratio(of_layer, shown.lengths) for of_layer in activity]
        distance = ReservoirSetting(*setting, tuple(ratios), rate=0.0).distance
        ridge = fit_ridge(replace(theirs, readout="analog"), train, targets, validation=validation).network
        R = float((decide(scores(ridge, test)) == labels["test"]).double().mean())
        pooled = branching_ratio(activity.sum(dim=0), shown.lengths)
        convex = [accuracy(replace(hidden, readout=readout), cell, task, seed) for readout in READOUTS]
        lines.append(Line(setting, distance, pooled, 100.0 * R, *convex))
    return lines


def accuracy(hidden: Hidden, cell: Cell, task: TaskData, seed: int) -> float:
    """Test accuracy in percent of a convex readout, beta chosen on validation."""
    model = SpikingClassifier(loss=cell.loss, witnesses=hidden, beta=list(cell.betas), random_state=seed)
    model.fit(task.train.X, task.train.y, validation=(task.val.X, task.val.y))
    return 100.0 * model.score(task.test.X, task.test.y)


if __name__ == "__main__":
    main()
