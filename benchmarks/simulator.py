"""The hot path of a search: how fast many small branches are run and scored, and what share of the machine that is.

    python benchmarks/simulator.py [--width 12] [--branches 256]

Prints CPU time, so that other work on the machine disturbs little. Two ceilings are measured beside it: the arithmetic
of a large matrix product, and five passes over the potentials in cache, which is what a step needs at least (input,
spike, reset, leak, bias), as the matrices of small branches are too small to be bound by arithmetic.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from convexsnn.prefixes import prefixes_of
from convexsnn.search.branches.simulator import CHUNK_FLOATS, correlate
from convexsnn.search.branches.variation import Variation, input_scale
from convexsnn.sequences import as_sequences
from convexsnn.witnesses import Architecture

REPEATS = 5
PASSES = 5


def cpu_seconds(work: Callable[[], object]) -> float:
    """Least CPU time of several calls."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=12)
    parser.add_argument("--branches", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    bits = lambda T: np.eye(2)[random.integers(2, size=(2000, T))]  # noqa: E731
    cases = {
        "2000 x 14 bits, two LIF layers": (bits(14), {"depth": 3}),
        "2000 x 14 bits, one recurrent layer": (bits(14), {"depth": 2, "recurrent": True}),
        "2000 x 50 bits, one recurrent layer": (bits(50), {"depth": 2, "recurrent": True}),
        "2000 x 14 x 56 reals, one recurrent layer": (random.random((2000, 14, 56)), {"depth": 2, "recurrent": True}),
    }
    A = torch.rand(2048, 2048)
    flops = 2 * 2048**3 / cpu_seconds(lambda: A @ A)
    cached = torch.rand(options.width, CHUNK_FLOATS // options.width)
    factor = torch.rand(options.width, 1)
    per_pass = cpu_seconds(lambda: [cached.mul_(factor) for _ in range(100)]) / 100 / cached.numel()
    print(f"one large product {flops / 1e9:.0f} GFLOP/s; one pass in cache {1e9 * per_pass:.2f} ns a number\n")
    print("| input | prefixes | ns a neuron and step | GFLOP/s | of the large product | of the passes alone |")
    print("|---|---|---|---|---|---|")
    for name, (X, shape) in cases.items():
        print(measure(name, X, shape, options, flops, per_pass), flush=True)


def measure(name: str, X: np.ndarray, shape: dict, options: argparse.Namespace, flops: float, per_pass: float) -> str:
    sequences = as_sequences(X)
    prefixes = prefixes_of(sequences, every_step=False)
    architecture = Architecture(sequences.n_features, bias=True, readout="spike", **shape)
    variation = Variation(architecture, options.width, input_scale(prefixes, 1.0), free_leak=True)
    population = variation.draw(options.branches, torch.Generator().manual_seed(0))
    U = torch.rand(len(sequences), 1)
    seconds = cpu_seconds(lambda: correlate(population, prefixes, U))
    layers = population.layers
    steps = len(population) * prefixes.n_nodes * sum(layer.leak.shape[1] for layer in layers)
    weights = sum(t.numel() for layer in layers for t in (layer.weight, layer.recurrent) if t is not None)
    done = 2 * weights * prefixes.n_nodes / seconds
    nanoseconds = 1e9 * seconds / steps
    share = PASSES * 1e9 * per_pass / nanoseconds
    return (
        f"| {name} | {prefixes.n_nodes} | {nanoseconds:.2f} | {done / 1e9:.1f} | {100 * done / flops:.0f} % "
        f"| {100 * share:.0f} % |"
    )


if __name__ == "__main__":
    main()
