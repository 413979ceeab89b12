"""Sequential MNIST, T = 14, 6000 images: surrogate gradients for longer and longer, and the convex readout each time.

    OMP_NUM_THREADS=1 python benchmarks/mnist_readout.py [--data-dir DIR] [--seeds 0 1 2] [--epochs 10 20 ...]
        [--schedule constant] [--learning-rate 3e-3] [--out mnist-readout]

One recurrent layer of 512 LIF neurons, read by the spikes of the last step, trained as SG+ of `convexsnn bench paper`
but for the learning rate, which stays as it is, and without early stopping: the network is that of the last epoch, and
SG-CVX has the same hidden layer. Tested on all 10 000 test images: on the 2000 of the paper's cell one standard
deviation is half a percent, more than the two differ by. With --schedule cosine the rate goes down to zero over each
number of epochs. Goes on where it was killed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from rich.progress import track

from convexsnn import SpikingClassifier
from convexsnn.bench.cells import CELLS
from convexsnn.bench.jobs import Job, Rows, run_jobs
from convexsnn.bench.methods import SENSIBLE, SENSIBLE_BETAS, load_setup, sensible_start
from convexsnn.surrogate import train_surrogate

CELL, NEURONS = replace(CELLS["mnist-T14-L3"], sizes=(6000, 2000, 10_000)), 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", nargs="*", type=int, default=[10, 20, 30, 40, 50, 60])
    parser.add_argument("--schedule", default="constant", choices=["constant", "cosine"])
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--out", type=Path, default=Path("mnist-readout"))
    options = parser.parse_args()
    training = {"schedule": options.schedule, "learning_rate": options.learning_rate}
    data_dir = None if options.data_dir is None else str(options.data_dir)
    jobs = [
        Job(f"{options.schedule}-{seed}-{epochs}", {"seed": seed, "epochs": epochs, "data_dir": data_dir, **training})
        for seed in options.seeds
        for epochs in sorted(options.epochs)
    ]
    outcomes = track(run_jobs(jobs, train_and_read, options.out, 1), "networks", total=len(jobs), disable=None)
    show([row for outcome in outcomes for row in outcome.rows])


def train_and_read(settings: dict[str, Any], scratch: Path) -> Rows:
    """Train, for longer from the checkpoint of fewer epochs where there is one; fit the convex readout."""
    seed, epochs, constant = settings["seed"], settings["epochs"], settings["schedule"] == "constant"
    setup = load_setup(CELL, seed, settings["data_dir"], scratch)
    trained = train_surrogate(
        sensible_start(setup, NEURONS),
        setup.problem("cross_entropy", 0.01, NEURONS),
        replace(SENSIBLE, epochs=epochs, schedule=settings["schedule"], learning_rate=settings["learning_rate"]),
        seed=seed,
        checkpoint=scratch.with_name(f"sg-{seed}-{settings['learning_rate']:g}.safetensors") if constant else None,
    ).network
    model = SpikingClassifier(witnesses=trained.hidden, penalty="group", beta=list(SENSIBLE_BETAS), random_state=seed)
    task = setup.task
    model.fit(task.train.X, task.train.y, validation=(task.val.X, task.val.y))
    certificate = model.certificate_
    return [
        {
            "seed": seed,
            "epochs": epochs,
            "train": 100.0 * setup.accuracy(trained, "train"),
            "SG": 100.0 * setup.accuracy(trained, "test"),
            "SG-CVX": 100.0 * setup.accuracy(model.network_, "test"),
            "columns": certificate.support,
            "relative_gap": certificate.relative_gap,
        }
    ]


def show(rows: Rows) -> None:
    """Means over seeds, with standard deviations."""
    print("| epochs | SG train % | SG test % | SG-CVX test % | SG-CVX less SG, each seed | columns | worst gap |")
    print("|---|---|---|---|---|---|---|")
    for epochs in sorted({row["epochs"] for row in rows}):
        chosen = sorted((row for row in rows if row["epochs"] == epochs), key=lambda row: row["seed"])
        spread = lambda name: f"{mean(r[name] for r in chosen):.2f} +- {pstdev(r[name] for r in chosen):.2f}"  # noqa: B023, E731
        facts = [f"{epochs}", f"{mean(row['train'] for row in chosen):.1f}", spread("SG"), spread("SG-CVX")]
        facts += [", ".join(f"{row['SG-CVX'] - row['SG']:+.2f}" for row in chosen)]
        facts += [f"{mean(row['columns'] for row in chosen):.0f}", f"{max(row['relative_gap'] for row in chosen):.1e}"]
        print(f"| {' | '.join(facts)} |")


if __name__ == "__main__":
    main()
