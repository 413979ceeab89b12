"""Random fits of every loss, penalty, readout and scale against the independent evaluator of the tests.

    python benchmarks/evaluator.py --fits 1000 [--start 0]

Prints what is wrong with each fit, and how many were tried and wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from independent_fits import check_fit


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--fits", type=int, default=1000)
    options.add_argument("--start", type=int, default=0)
    chosen = options.parse_args()
    begun, wrong = time.perf_counter(), 0
    for seed in range(chosen.start, chosen.start + chosen.fits):
        problems = check_fit(seed)
        wrong += bool(problems)
        for problem in problems:
            print(f"seed {seed}: {problem}")
    print(f"{chosen.fits} fits, {wrong} wrong, {time.perf_counter() - begun:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
