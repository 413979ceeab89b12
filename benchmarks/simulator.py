"""The hot path of a search: how fast small branches are run and scored, by compiled code and by the reference.

    OMP_NUM_THREADS=1 python benchmarks/simulator.py [--width 12] [--branches 256]

One call scores the branches of one generation, as many as a search has by default. Both are run in turn, and the
medians of five runs are printed: nanoseconds of CPU time for one neuron, one step and one distinct prefix. The last
two columns are of wall-clock time: how many times as fast two threads are as one that share a call, and that make a
call each. The latter is what the machine gives, as nothing is shared then.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from convexsnn.prefixes import prefixes_of
from convexsnn.search import SearchSettings
from convexsnn.search.branches import simulator
from convexsnn.search.branches.runner import BranchRunner
from convexsnn.search.branches.variation import Variation, input_scale
from convexsnn.sequences import as_sequences
from convexsnn.team import Team
from convexsnn.witnesses import Architecture

REPEATS = 5


def seconds_of(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """What one call takes."""
    start = clock()
    work()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=12)
    parser.add_argument("--branches", type=int, default=SearchSettings.population)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    bits = lambda T: np.eye(2)[random.integers(2, size=(2000, T))]  # noqa: E731
    recurrent = {"depth": 2, "recurrent": True}
    cases = {
        "2000 x 14 bits, recurrent": (bits(14), recurrent, 1),
        "2000 x 14 bits, two layers": (bits(14), {"depth": 3}, 1),
        "2000 x 50 bits, recurrent": (bits(50), recurrent, 1),
        "2000 x 100 x 2 reals, two layers": (random.random((2000, 100, 2)), {"depth": 3}, 1),
        "2000 x 14 x 56 reals, 10 outputs, recurrent": (random.random((2000, 14, 56)), recurrent, 10),
    }
    print("| input | prefixes | compiled, ns | reference, ns | ratio | two threads | a call each |")
    print("|---|---|---|---|---|---|---|")
    for name, (X, shape, outputs) in cases.items():
        print(f"| {name} | {measure(X, shape, outputs, options)} |", flush=True)


def measure(X: np.ndarray, shape: dict, outputs: int, options: argparse.Namespace) -> str:
    sequences = as_sequences(X)
    prefixes = prefixes_of(sequences, every_step=False)
    architecture = Architecture(sequences.n_features, bias=True, readout="spike", **shape)
    variation = Variation(architecture, options.width, input_scale(prefixes, 1.0), free_leak=True)
    population = variation.draw(options.branches, torch.Generator().manual_seed(0))
    runner = BranchRunner(prefixes, population.readout)
    counts = runner.counted(torch.randn(len(sequences), outputs))
    works = [lambda: runner.correlate(population, counts), lambda: simulator.correlate(population, prefixes, counts)]
    for work in works:  # what is compiled or kept at the first call
        work()
    torch.set_num_threads(1)
    taken = [[seconds_of(work, time.process_time) for work in works] for _ in range(REPEATS)]
    steps = len(population) * prefixes.n_nodes * len(population.layers) * options.width
    fused, reference = (1e9 * statistics.median(column) / steps for column in zip(*taken, strict=True))
    wall, each, pair = {threads: [] for threads in (1, 2)}, [], Team(2)
    for _ in range(REPEATS):
        for threads, found in wall.items():
            torch.set_num_threads(threads)
            found.append(seconds_of(works[0], time.perf_counter))
        torch.set_num_threads(1)
        each.append(seconds_of(lambda: pair.each(lambda _: works[0](), range(2)), time.perf_counter))
    gain, most = min(wall[1]) / min(wall[2]), 2.0 * min(wall[1]) / min(each)
    return f"{prefixes.n_nodes} | {fused:.2f} | {reference:.2f} | {reference / fused:.1f} | {gain:.2f} | {most:.2f}"


if __name__ == "__main__":
    main()
