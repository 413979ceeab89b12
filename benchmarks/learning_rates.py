"""The paper's SG at each learning rate, and after fewer epochs: what SG-CVX makes of its hidden layers.

    OMP_NUM_THREADS=1 python benchmarks/learning_rates.py [--cell mnist-T14-L3] [--seed 0] [--data-dir DIR]
        [--rates 1e-3 5e-3 ...] [--epochs 100 200] [--surrogate arctan] [--out learning-rates]

`convexsnn bench paper` picks the rate on validation and shows that one alone. SG-CVX is at beta 0.01 here. Goes on
where it was killed. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.progress import track

from convexsnn import SpikingClassifier
from convexsnn.bench.cells import CELLS, Cell
from convexsnn.bench.jobs import Job, TableRows, run_jobs
from convexsnn.bench.methods import baseline_start, load_setup, with_reset
from convexsnn.surrogate import PAPER_BASELINE, train_surrogate

BETA = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="mnist-T14-L3", choices=[n for n, cell in CELLS.items() if not cell.per_step])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--rates", nargs="*", type=float, default=None)
    parser.add_argument("--epochs", nargs="*", type=int, default=[100, 200])
    parser.add_argument("--surrogate", default="arctan")
    parser.add_argument("--out", type=Path, default=Path("learning-rates"))
    options = parser.parse_args()
    cell, data_dir = CELLS[options.cell], None if options.data_dir is None else str(options.data_dir)
    shared = {"cell": asdict(cell), "seed": options.seed, "data_dir": data_dir, "surrogate": options.surrogate}
    jobs = [
        Job(f"{cell.name}-{options.surrogate}-{rate:g}-{epochs}", {**shared, "rate": rate, "epochs": epochs})
        for rate in options.rates or cell.rates
        for epochs in sorted(options.epochs)
    ]
    outcomes = track(run_jobs(jobs, train_and_read, options.out, 1), "networks", total=len(jobs), disable=None)
    print("| learning rate | epochs | SG train % | SG test % | SG-CVX test % |\n|---|---|---|---|---|")
    for outcome in outcomes:
        for row in outcome.rows:
            right = [f"{row[name]:.1f}" for name in ("train", "SG", "SG-CVX")]
            print(f"| {row['rate']:g} | {row['epochs']} | {' | '.join(right)} |", flush=True)


def train_and_read(settings: dict[str, Any], scratch: Path) -> TableRows:
    """Train, for longer from the checkpoint of fewer epochs where there is one, and read the weights as SG-CVX does."""
    cell, seed, rate = Cell(**settings["cell"]), settings["seed"], settings["rate"]
    setup = load_setup(cell, seed, settings["data_dir"], scratch)
    network = train_surrogate(
        baseline_start(setup),
        setup.problem("cross_entropy", 1.0, cell.last).without_validation,
        replace(PAPER_BASELINE, epochs=settings["epochs"], learning_rate=rate, surrogate=settings["surrogate"]),
        seed=seed,
        checkpoint=scratch.with_name(f"{cell.name}-{settings['surrogate']}-{seed}-{rate:g}.safetensors"),
    ).network
    hidden = replace(with_reset(network.hidden, "soft"), readout="membrane")
    model = SpikingClassifier(loss=cell.loss, witnesses=hidden, beta=BETA, random_state=seed)
    model.fit(setup.task.train.X, setup.task.train.y)
    percent = {
        "train": setup.accuracy(network, "train"),
        "SG": setup.accuracy(network, "test"),
        "SG-CVX": setup.accuracy(model.network_, "test"),
    }
    return [{"rate": rate, "epochs": settings["epochs"], **{name: 100.0 * share for name, share in percent.items()}}]


if __name__ == "__main__":
    main()
