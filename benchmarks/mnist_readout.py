"""Sequential MNIST, T = 14, 6000 images: surrogate gradients and the convex readout of the same hidden layer.

    OMP_NUM_THREADS=1 python benchmarks/mnist_readout.py [--data-dir DIR] [--seeds 0 1 2] [--out mnist-readout]

The methods SG+ and SG+-CVX of `convexsnn bench paper`, but tested on all 10 000 test images: on the 2000 of the paper's
cell one standard deviation is half a percent, more than the two differ by. Goes on where it was killed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from rich.progress import track

from convexsnn.bench.cells import CELLS
from convexsnn.bench.jobs import run_jobs
from convexsnn.bench.methods import run_job
from convexsnn.bench.paper import paper_jobs

METHODS = ("SG+", "SG+-CVX")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("mnist-readout"))
    options = parser.parse_args()
    cell = replace(CELLS["mnist-T14-L3"], name="mnist-T14-all-tests", sizes=(6000, 2000, 10_000))
    jobs = paper_jobs([cell], METHODS, options.seeds, "cpu", options.data_dir)
    outcomes = track(run_jobs(jobs, run_job, options.out, 1), "seeds", total=len(jobs), disable=None)
    print("| seed | method | test % | train % | columns | relative gap |\n|---|---|---|---|---|---|")
    for outcome in outcomes:
        if outcome.skipped:
            raise SystemExit(outcome.skipped)
        for row in outcome.rows:
            right = [f"{row[split]['accuracy']:.2f}" for split in ("test", "train")]
            proved = f"{row['relative_gap']:.1e}" if "relative_gap" in row else ""
            facts = [str(row["seed"]), row["method"], *right, str(row.get("support", "")), proved]
            print(f"| {' | '.join(facts)} |", flush=True)


if __name__ == "__main__":
    main()
