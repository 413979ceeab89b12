"""What it costs to stay within a target of export: default searches with `target=`, and their spikes there.

    OMP_NUM_THREADS=1 python benchmarks/targets.py --seeds 3

For each task and target: processor seconds, test accuracy and neurons of the network, the mean over seeds. The network
is then exported and run, in float32 for NIR, on random words of the task's symbols, until `--spikes` spikes of its last
layer have been compared with ours. A package that is missing is left out.
"""

import argparse
import logging
import time
import warnings
from dataclasses import replace

import numpy as np
import torch

from convexsnn import Search, SpikingClassifier
from convexsnn.export import to_norse
from convexsnn.tasks import TaskSettings, load_task
from spike_for_spike import importers, run_ours, through_a_file

TASKS = {
    "first-last XOR, 8 steps": ("first-last-xor", {"timesteps": 8}),
    "addition, 6 digits": ("addition", {"timesteps": 6, "per_step": True}),
    "sum modulo 3, 8 steps": ("dfa:mod-3", {"timesteps": 8}),
}
WAYS = {
    "none": {},
    "norse": {"target": "norse"},
    "nir": {"target": "nir"},
    "nir, several leaks": {"target": "nir", "witnesses": Search(dyadic_leaks=True)},
}
WORD = 40


def differing(network, target, enough):
    """Spikes compared and spikes that differ, by the program that runs the network."""
    hidden = replace(network.hidden, every_step=True)
    shown = replace(network, hidden=hidden, W=torch.eye(hidden.n_last, dtype=torch.float64))
    if target == "norse":
        runs = {"Norse": lambda X: to_norse(shown).features(X)[0]}
    else:
        read = {
            name: lambda importer=importer: through_a_file(shown, importer) for name, importer in importers().items()
        }
        runs = {name: stepwise(build) for name, build in read.items()}
    n = -(-enough // (WORD * hidden.n_last))
    symbols = torch.randint(hidden.n_features, (WORD, n), generator=torch.Generator().manual_seed(0))
    X = torch.nn.functional.one_hot(symbols, hidden.n_features).to(hidden.dtype)
    expected, found = run_ours(shown, X), {}
    for name, run in runs.items():
        try:
            with torch.no_grad():
                found[name] = expected.numel(), int((run(X).round() != expected).sum())
        except Exception as error:  # importers refuse in ways of their own
            found[name] = f"refused ({type(error).__name__}: {str(error)[:60]})"
    return found


def stepwise(build):
    def run(X):
        module, state, outputs = build(), None, []
        for x in X:
            y, state = module(x, state)
            outputs.append(y)
        return torch.stack(outputs)

    return run


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--spikes", type=int, default=400_000)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print("| task | target | seconds | test accuracy | neurons | spikes that differ |\n|---|---|---|---|---|---|")
    for title, (name, settings) in TASKS.items():
        for way, chosen in WAYS.items():
            rows, spikes = [], {}
            for seed in range(options.seeds):
                task = load_task(name, TaskSettings(n_train=400, n_val=10, n_test=1000, seed=seed, **settings))
                per_step = bool(settings.get("per_step"))
                model = SpikingClassifier(**chosen, per_step=per_step, random_state=seed)
                began = time.process_time()
                model.fit(task.train.X, task.train.y)
                seconds = time.process_time() - began
                score = model.score(task.test.X, task.test.y)
                rows.append((seconds, score, model.network_.hidden.n_neurons))
                if chosen:
                    for run, found in differing(
                        model.network_, chosen["target"], options.spikes // options.seeds
                    ).items():
                        spikes.setdefault(run, []).append(found)
            seconds, score, neurons = np.mean(rows, axis=0)
            said = "; ".join(f"{run}: {summary(found)}" for run, found in spikes.items()) or "-"
            print(f"| {title} | {way} | {seconds:.1f} | {100 * score:.1f} | {neurons:.0f} | {said} |", flush=True)


def summary(found):
    counts = [own for own in found if isinstance(own, tuple)]
    refusals = sorted({own for own in found if isinstance(own, str)})
    compared, wrong = (sum(own) for own in zip(*counts, strict=True)) if counts else (0, 0)
    return ", ".join([f"{wrong} of {compared}"] * bool(counts) + refusals)


if __name__ == "__main__":
    main()
