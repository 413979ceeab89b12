"""Closed loop on long sums: the time must grow as the number of digits, and what is right at lengths beyond training.

    python benchmarks/closed_loop.py [--base B] [--sums N] [--last P] [--leak L] [--repeats R]

Trains on 5-digit additions with teacher forcing, with joint tokens and with factored labels, and adds numbers of 10,
100 and 1000 digits in closed loop. Prints a Markdown table and the ratio of the times at 1000 and 10 digits: 91
steps to 1, less what a call costs before its first step; it would be near 10 000 if every step began anew. Uses one
thread unless OMP_NUM_THREADS says otherwise: a step is many small operations.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time

import torch

from convexsnn import FeedbackLoop, Gaussian, SpikingClassifier, predict_closed_loop
from convexsnn.metrics import closed_loop_scores
from convexsnn.tasks import TaskData, TaskSettings, load_task

DIGITS = (10, 100, 1000)


def load(base: int, sums: int, digits: int, factored: bool) -> TaskData:
    """Sums of so many digits; the training split has 1000 of 5."""
    train = digits == 5
    task = load_task(f"addition:base-{base}", TaskSettings(1000 if train else 1, 1, sums, digits + 1))
    return task.factored() if factored else task


def seconds_of(model: SpikingClassifier, task: TaskData, repeats: int) -> float:
    """Median over `repeats` runs, after one that is not counted."""
    loop, times = FeedbackLoop.of_task(task), []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        predict_closed_loop(model, task.test.X, loop)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=int, default=2)
    parser.add_argument("--sums", type=int, default=100)
    parser.add_argument("--last", type=int, default=64)
    parser.add_argument("--leak", type=float, default=0.0, help="what is carried on is an input: no memory is needed")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    print(f"{platform.machine()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}")
    print(f"base {options.base}, {options.sums} sums at a time, one LIF layer of {options.last},", end=" ")
    print(f"leak {options.leak:g}, median of", end=" ")
    print(f"{options.repeats}\n\n| labels | digits | seconds | microseconds a step | tokens right | sums right |")
    print("|---|---|---|---|---|---|")
    family = Gaussian(depth=2, branches=1, last=options.last, bias=True, leak=options.leak, readout="spike")
    ratios = {}
    for labels in ("joint", "factored"):
        factored = labels == "factored"
        train = load(options.base, options.sums, 5, factored).train
        model = SpikingClassifier(witnesses=family, per_step=True, beta=0.01, random_state=0).fit(train.X, train.y)
        seconds = {}
        for digits in DIGITS:
            task = load(options.base, options.sums, digits, factored)
            scores, seconds[digits] = closed_loop_scores(model, task), seconds_of(model, task, options.repeats)
            cost = f"{seconds[digits]:.4f} | {1e6 * seconds[digits] / (digits + 1):.0f}"
            right = " | ".join(f"{100 * scores[name]:.2f} %" for name in ("accuracy", "sequence_accuracy"))
            print(f"| {labels} | {digits} | {cost} | {right} |")
        ratios[labels] = seconds[DIGITS[-1]] / seconds[DIGITS[0]]
    print("\n1000 digits cost " + ", ".join(f"{ratio:.0f} ({labels})" for labels, ratio in ratios.items()), end=" ")
    print("times what 10 digits cost")


if __name__ == "__main__":
    main()
