"""One of four shapes in noise: how accurate a default search is, and how long it takes, as the data grow.

    OMP_NUM_THREADS=2 python benchmarks/shapes.py [--n 500 2000 8000] [--seeds 0] [--effort 2e10]

Each sequence has 100 steps of two features of noise. At a random place one of four shapes is added, which differ in the
order of their rises and falls: no step alone tells them apart. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np

from convexsnn import Search, SpikingClassifier
from convexsnn.search import SearchSettings

STEPS, LENGTH, NOISE, TEST = 100, 30, 0.5, 4000


def drawn(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (n, 100, 2) and which shape each has."""
    phase = np.arange(LENGTH) / LENGTH
    ramp, arch = 2.0 * phase - 1.0, np.sin(np.pi * phase)
    shapes = np.stack([[ramp, arch], [-ramp, arch], [arch, ramp], [arch, -ramp]]).transpose(0, 2, 1)
    X, y = NOISE * rng.normal(size=(n, STEPS, 2)), rng.integers(4, size=n)
    for x, kind, begin in zip(X, y, rng.integers(STEPS - LENGTH, size=n), strict=True):
        x[begin : begin + LENGTH] += 2.0 * shapes[kind]
    return X, y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", nargs="*", type=int, default=[500, 2000, 8000])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--effort", type=float, default=SearchSettings.effort)
    options = parser.parse_args()
    print("| n | seed | test % | columns | rounds | seconds | of CPU |\n|---|---|---|---|---|---|---|")
    for n in options.n:
        for seed in options.seeds:
            X, y = drawn(n, np.random.default_rng(seed))
            model = SpikingClassifier(witnesses=Search(effort=options.effort), random_state=seed)
            began, cpu = time.perf_counter(), time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(X, y)
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            right = 100.0 * model.score(*drawn(TEST, np.random.default_rng(10_000 + seed)))
            facts = [model.certificate_.support, len(model.history_) - 1, f"{seconds:.0f}", f"{cpu:.0f}"]
            cells = [n, seed, f"{right:.1f}", *facts]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
