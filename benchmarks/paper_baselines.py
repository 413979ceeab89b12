"""The paper's CVX baselines (gaussian witnesses) reproduced, every fit with its certificate.

    python benchmarks/paper_baselines.py [--only xor mnist] [--mnist DIR] [--out FILE.md]

First-last XOR at T = 6 and 8 (L = 5, K = 2, P_rec 500, P_last 1000, hinge, 2000/2000/4000, beta in {0.01, 0.1, 1}
chosen on validation) and sequential MNIST at T = 14 (L = 3, P_rec 512, P_last 1024, softmax cross entropy, 6000/2000/
2000, beta 0.01), seeds 0-2. MNIST needs the four IDX files in a folder, or a network connection for OpenML; without
either it is skipped with a line that says so. Prints a Markdown table with the paper's figures beside ours.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from convexsnn import SpikingClassifier
from convexsnn.tasks import TaskSettings, load_task

SEEDS = (0, 1, 2)
NETWORK = {"branches": 2, "leak": 0.99, "threshold": 1.0, "reset": "soft", "readout": "membrane"}


@dataclass(frozen=True)
class Experiment:
    """One row of the table: a task, a network, the betas to choose from and what the paper reports."""

    name: str
    task: str
    timesteps: int
    parameters: dict[str, Any]
    betas: tuple[float, ...]
    paper: str


XOR = {"depth": 5, "hidden": 500, "last": 1000, "loss": "hinge"}
MNIST = {"depth": 3, "hidden": 512, "last": 1024, "loss": "cross_entropy"}
EXPERIMENTS = {
    "xor": [
        Experiment("first-last XOR, T = 6", "first-last-xor", 6, XOR, (0.01, 0.1, 1.0), "test 100.0 +- 0.0"),
        Experiment("first-last XOR, T = 8", "first-last-xor", 8, XOR, (0.01, 0.1, 1.0), "test 100.0 +- 0.0"),
    ],
    "mnist": [
        Experiment(
            "sequential MNIST, T = 14",
            "mnist",
            14,
            MNIST,
            (0.01,),
            "objective 0.755 / 0.771 / 0.776, test 68.3 / 68.2 / 67.3",
        ),
    ],
}


def main() -> None:
    """Run the chosen experiments and print the table."""
    arguments = parse()
    rows = []
    for key in arguments.only:
        for experiment in EXPERIMENTS[key]:
            for seed in SEEDS:
                row = run(experiment, seed, arguments.mnist if key == "mnist" else None)
                if row is None:
                    break
                print(json.dumps(row), flush=True)
                rows.append(row)
    table = render(rows)
    print("\n" + table)
    if arguments.out is not None:
        arguments.out.write_text(table)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--mnist", type=Path, default=None, help="folder with the four IDX files")
    parser.add_argument("--out", type=Path, default=None, help="write the Markdown table here too")
    return parser.parse_args()


def run(experiment: Experiment, seed: int, data_dir: Path | None) -> dict[str, Any] | None:
    """Fit every beta, keep the one that is best on validation (the largest of equals, it is the sparsest)."""
    try:
        task = load_task(experiment.task, TaskSettings(timesteps=experiment.timesteps, seed=seed, data_dir=data_dir))
    except ValueError as error:
        print(f"skipped {experiment.name}: {error}")
        return None
    best: tuple[float, float] | None = None
    chosen, seconds = None, 0.0
    for beta in sorted(experiment.betas, reverse=True):
        model = SpikingClassifier(**NETWORK, **experiment.parameters, beta=beta, random_state=seed)
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            model.fit(task.train.X, task.train.y)
        elapsed = time.perf_counter() - start
        validation = model.score(task.val.X, task.val.y)
        if best is None or validation > best[0]:
            best, chosen, seconds = (validation, beta), model, elapsed
    assert best is not None
    assert chosen is not None
    certificate = chosen.certificate_
    return {
        "name": experiment.name,
        "paper": experiment.paper,
        "seed": seed,
        "beta": best[1],
        "objective": certificate.primal,
        "relative_gap": certificate.relative_gap,
        "train": 100 * chosen.score(task.train.X, task.train.y),
        "val": 100 * best[0],
        "test": 100 * chosen.score(task.test.X, task.test.y),
        "unseen_share": task.unseen_share,
        "columns": certificate.P,
        "support": certificate.support,
        "spike_margin": certificate.spike_margin,
        "seconds": seconds,
        "solve_seconds": chosen.trained_.seconds["solve"],
    }


def render(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown, with machine and date."""
    lines = [
        "| task | seed | beta | objective | relative gap | train % | test % | columns | fit s | the paper, 3 seeds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['name']} | {r['seed']} | {r['beta']:g} | {r['objective']:.6f} | {r['relative_gap']:.1e} "
        f"| {r['train']:.1f} | {r['test']:.1f} | {r['support']} of {r['columns']} | {r['seconds']:.1f} | {r['paper']} |"
        for r in rows
    ]
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    return "\n".join([*lines, "", f"Measured {datetime.now(tz=UTC):%Y-%m-%d} on {machine}.", ""])


if __name__ == "__main__":
    main()
