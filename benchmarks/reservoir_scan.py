"""Every setting of the paper's reservoir grid on one XOR cell: what R and R-CVX reach there, and how critical it is.

    python benchmarks/reservoir_scan.py [--cell xor-T6-L5] [--seed 0]

Shows which settings the branching ratio prefers (of all neurons, and of the layer farthest from 1), and whether any
setting gives the paper's pair of R and R-CVX. Prints a Markdown table, the nearest to criticality first.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from dataclasses import replace
from typing import NamedTuple

import torch

from convexsnn import Architecture, SpikingClassifier, as_sequences, gaussian
from convexsnn.bench.cells import CELLS
from convexsnn.labels import decide
from convexsnn.ridge import fit_ridge
from convexsnn.simulation import scores
from convexsnn.tasks import TaskSettings, load_task
from convexsnn.validation import Validation
from convexsnn.witnesses import ReservoirGrid
from convexsnn.witnesses.reservoir import SAMPLE, ReservoirSetting, branching_ratio, set_reservoir, spikes_per_step


class Line(NamedTuple):
    setting: tuple[float, float, float]
    distance: float
    pooled: float
    R: float
    convex: float
    columns: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="xor-T6-L5", choices=[name for name in CELLS if name.startswith("xor")])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of settings at which nothing fires
    lines = sorted(scan(options.cell, options.seed), key=lambda line: line.distance)
    print("| leak | threshold | input scale | farthest layer | all neurons | R % | R-CVX % | columns |")
    print("|---|---|---|---|---|---|---|---|")
    for line in lines:
        facts = [*(f"{value:g}" for value in line.setting), f"{line.distance:.3f}", f"{line.pooled:.3f}"]
        facts += [f"{line.R:.1f}", f"{line.convex:.1f}", str(line.columns)]
        print(f"| {' | '.join(facts)} |")
    alike = sum(line.R >= 99.0 and line.convex <= 70.0 for line in lines)
    print(f"\n{len(lines)} settings; R at least 99 % with R-CVX at most 70 %: {alike}")


def scan(cell_name: str, seed: int) -> list[Line]:
    cell, grid = CELLS[cell_name], ReservoirGrid()
    task = load_task(cell.task, TaskSettings(*cell.sizes, cell.timesteps, seed=seed))
    train, val, test = (as_sequences(part.X) for part in (task.train, task.val, task.test))
    labels = {name: torch.from_numpy(getattr(task, name).y) for name in ("train", "val", "test")}
    validation = Validation(val, lambda S: float((decide(S) == labels["val"]).double().mean()))
    targets = 2.0 * torch.nn.functional.one_hot(labels["train"], 2).double() - 1.0
    architecture = Architecture(train.n_features, depth=cell.depth, hidden=cell.hidden, last=cell.last)
    drawn = gaussian(architecture, torch.Generator().manual_seed(seed), "normalized")
    shown, lines = train.take(slice(0, SAMPLE)), []
    for setting in itertools.product(grid.leaks, grid.thresholds, grid.input_scales):
        hidden = set_reservoir(drawn, *setting)
        activity = spikes_per_step(hidden, shown)
        ratios = [branching_ratio(of_layer, shown.lengths) for of_layer in activity]
        distance = ReservoirSetting(*setting, tuple(ratios), rate=0.0).distance
        ridge = fit_ridge(replace(hidden, readout="analog"), train, targets, validation=validation).network
        R = float((decide(scores(ridge, test)) == labels["test"]).double().mean())
        model = SpikingClassifier(loss=cell.loss, witnesses=hidden, beta=list(cell.betas), random_state=seed)
        model.fit(task.train.X, task.train.y, validation=(task.val.X, task.val.y))
        pooled = branching_ratio(activity.sum(dim=0), shown.lengths)
        convex = model.score(task.test.X, task.test.y)
        lines.append(Line(setting, distance, pooled, 100.0 * R, 100.0 * convex, model.certificate_.P))
    return lines


if __name__ == "__main__":
    main()
