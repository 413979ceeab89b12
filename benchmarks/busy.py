"""The same command alone and beside one busy process for each processor but one, with no environment variable set.

    python benchmarks/busy.py [--repeats 3] [--processors 2]

Threads that spin while they wait for one another once made this command take 30 times as long. The machine should be
idle otherwise; the load is printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIT = "fit --task first-last-xor --timesteps 8 --witnesses gaussian --depth 5 --hidden 500 --last 1000 --loss hinge"
# Of threads and their ways to wait.
VARIABLES = ("OMP_", "MKL_", "KMP_", "GOMP_", "OPENBLAS_")
LIBRARY = """
import sys, time
from convexsnn import Gaussian, SpikingClassifier
from convexsnn.tasks import TaskSettings, load_task
task = load_task("first-last-xor", TaskSettings(timesteps=8))
model = SpikingClassifier(witnesses=Gaussian(depth=5, hidden=500, last=1000), loss="hinge", random_state=0)
model.fit(task.train.X, task.train.y)
"""


def seconds(arguments: list[str], processors: set[int]) -> float:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(VARIABLES)}
    begun = time.perf_counter()
    subprocess.run(
        arguments,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, processors),
    )
    return time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processors", type=int, default=2)
    options = parser.parse_args()
    processors = set(sorted(os.sched_getaffinity(0))[: options.processors])
    worst = 0.0
    for name, command in (
        ("command line", [sys.executable, "-m", "convexsnn", *FIT.split(), "--force", "--out"]),
        ("library", [sys.executable, "-c", LIBRARY]),
    ):
        with tempfile.TemporaryDirectory() as folder:
            out = [str(Path(folder) / "model")] if command[-1] == "--out" else []
            took: dict[str, list[float]] = {"alone": [], "beside": []}
            for _ in range(options.repeats):
                took["alone"].append(seconds([*command, *out], processors))
                busy = [
                    subprocess.Popen(
                        [sys.executable, "-c", "while True: pass"],
                        preexec_fn=lambda: os.sched_setaffinity(0, processors),
                    )
                    for _ in range(max(1, options.processors - 1))
                ]
                try:
                    took["beside"].append(seconds([*command, *out], processors))
                finally:
                    for process in busy:
                        process.kill()
                        process.wait()
        alone, beside = (statistics.median(took[key]) for key in ("alone", "beside"))
        worst = max(worst, beside / alone)
        print(f"{name:<14} alone {alone:6.1f} s   beside {beside:6.1f} s   {beside / alone:.2f} times as long")
    print(f"load average {os.getloadavg()[0]:.1f}, {len(processors)} processors")
    return int(worst > 2.0)


if __name__ == "__main__":
    sys.exit(main())
