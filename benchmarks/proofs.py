"""Exact verification, wider margins, integer weights and thinning on two networks of the README, with seconds.

python benchmarks/proofs.py [--bits 8] [--networks xor digits] [--skip-quantise]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from convexsnn import Gaussian, SpikingClassifier, build_dictionary
from convexsnn.proof import verify_exactly
from convexsnn.reconstruction import quantise, thin, widen_margins
from convexsnn.simulation import simulate
from convexsnn.storage import save_model
from convexsnn.tasks import TaskSettings, load_task

NETWORKS = {
    "xor": (
        "first-last-xor",
        {"n_train": 2000, "timesteps": 8},
        {"witnesses": Gaussian(depth=5, hidden=500, last=1000), "loss": "hinge", "beta": 0.01},
    ),
    "digits": ("digits", {}, {"witnesses": "gaussian", "beta": 0.1}),
    "digits-demo": ("digits", {}, {"witnesses": Gaussian(depth=2, last=2048), "penalty": "group", "beta": 0.1}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bits", type=int, nargs="+", default=[8])
    parser.add_argument("--networks", nargs="+", default=["xor", "digits"], choices=NETWORKS)
    parser.add_argument("--skip-quantise", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.networks:
        report(name, [] if arguments.skip_quantise else arguments.bits)


def report(name: str, bits: list[int]) -> None:
    task_name, task_settings, settings = NETWORKS[name]
    task = load_task(task_name, TaskSettings(seed=0, **task_settings))
    X, y = task.train.X, task.train.y
    model, seconds = timed(lambda: SpikingClassifier(random_state=0, **settings).fit(X, y))
    print(f"{name}: fit {seconds:.2f} s; {model.certificate_}")
    problem = model.problem(X, y)
    sequences = problem.input
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(model, path)
        outcome, seconds = timed(lambda: verify_exactly(path, X, y))
    facts = outcome.to_dict()
    print(
        f"  exact: {seconds:.2f} s, holds {facts['holds']}, relative gap <= {facts['relative_gap']}, "
        f"{facts['trusted'][0]}"
    )
    trained = model.trained_
    dictionary = build_dictionary(trained.witnesses, sequences)
    program = problem.program(dictionary.columns)
    thinned, seconds = timed(lambda: thin(program, dictionary.to_columns(trained.W)))
    change = thinned.primal - thinned.primal_before
    print(f"  thin: {seconds:.2f} s, {thinned.support_before} -> {thinned.support} columns, objective {change:+.1e}")
    if not bits:
        return
    widened, seconds = timed(lambda: widen_margins(model.network_, sequences))
    ratio = np.median(widened.after / widened.before)
    print(
        f"  widen: {seconds:.1f} s, {len(widened.after)} neurons, median margin x {ratio:.1f}, smallest "
        f"{widened.before.min():.1e} -> {widened.after.min():.1e}, "
        f"same spikes {same(model, widened.network, sequences)}"
    )
    for b in bits:
        quantised, seconds = timed(lambda b=b: quantise(model.network_, sequences, b))
        print(
            f"  {b} bits: {seconds:.1f} s, {quantised.ways}, failed {len(quantised.failed)} "
            f"(excluded {len(quantised.excluded)}), thresholds of "
            f"{quantised.threshold_bits} bits, same spikes {same(model, quantised.network, sequences)}",
            flush=True,
        )


def same(model: SpikingClassifier, network, sequences) -> bool:
    first, second = (simulate(hidden, sequences) for hidden in (model.network_.hidden, network.hidden))
    counts = zip(first.counts, second.counts, strict=True)
    return torch.equal(first.features, second.features) and all(
        torch.equal(a, b) for one, other in counts for a, b in zip(one, other, strict=True)
    )


def timed(work):
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    main()
