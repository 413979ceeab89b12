"""Estimators as they are on sequence data that nothing was tuned on: random, trained and searched neurons.

    python benchmarks/general.py [--data funnel order ...] [--witnesses gaussian search] [--effort 2e10 | --seconds 60]
        [--depth 2] [--recurrent | --no-recurrent]

Prints a Markdown table of test accuracies, columns and seconds of CPU time. One thread: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import reduce
from operator import add

import numpy as np

from convexsnn import Search, SpikingClassifier
from convexsnn.families import WitnessFamily, family_of
from convexsnn.search import SearchSettings
from convexsnn.tasks import Split, TaskSettings, load_task

SIZES = (1000, 500, 2000)
Drawn = tuple[np.ndarray, np.ndarray]


def funnel(n: int, rng: np.random.Generator, T: int = 60) -> Drawn:
    """Cylinder, bell or funnel (Saito 1994): a plateau, a rise or a fall, somewhere in noise."""
    t, X, y = np.arange(T), np.zeros((n, T, 1)), rng.integers(3, size=n)
    for x, kind in zip(X, y, strict=True):
        begin = rng.integers(8, 16)
        end = begin + rng.integers(16, 40)
        height = (6 + rng.normal()) * ((t >= begin) & (t <= end))
        slope = (1.0, (t - begin) / (end - begin), (end - t) / (end - begin))[kind]
        x[:, 0] = height * slope + rng.normal(size=T)
    return X, y


def trend(n: int, rng: np.random.Generator, T: int = 30) -> Drawn:
    """Six kinds of trend, as in synthetic control charts: none, a cycle, rising, falling, a step up, a step down."""
    t, X, y = np.arange(T), np.zeros((n, T, 1)), rng.integers(6, size=n)
    for x, kind in zip(X, y, strict=True):
        x[:, 0] = rng.normal(size=T)
        up = 1 if kind in (2, 4) else -1
        if kind == 1:
            x[:, 0] += 1.5 * rng.uniform(1, 2) * np.sin(2 * np.pi * t / rng.uniform(8, 12))
        elif kind in (2, 3):
            x[:, 0] += up * rng.uniform(0.1, 0.25) * t
        elif kind in (4, 5):
            x[:, 0] += up * (t >= rng.integers(10, 20)) * rng.uniform(2, 5)
    return X, y


def order(n: int, rng: np.random.Generator, T: int = 30) -> Drawn:
    """Which of two marks came first and which second, among four symbols that mean nothing."""
    symbols, y = rng.integers(4, size=(n, T)), rng.integers(4, size=n)
    for row, answer in zip(symbols, y, strict=True):
        row[rng.integers(2, T // 2)] = 4 + answer // 2
        row[rng.integers(T // 2 + 1, T - 2)] = 4 + answer % 2
    return np.eye(6)[symbols], y


DRAWN: dict[str, Callable[[int, np.random.Generator], Drawn]] = {"funnel": funnel, "trend": trend, "order": order}
TASKS = {
    "dfa:parity": 12,
    "dfa:mod-3": 12,
    "dfa:tomita-3": 12,
    "dfa:dyck-2": 12,
    "dfa:random-5": 12,
    "dfa:random-10": 12,
    "multiplication:base-3": 6,
    "division:base-3": 5,
    "digits": 8,
}


def load(name: str, seed: int) -> tuple[list[Split], bool]:
    """Training, validation and test data; and whether there is a label a step."""
    if name in DRAWN:
        rng = np.random.default_rng(seed)
        return [Split(*DRAWN[name](n, rng)) for n in SIZES], False
    sizes = (1000, 297, 500) if name == "digits" else SIZES
    task = load_task(name, TaskSettings(*sizes, TASKS[name], seed=seed))
    return [task.train, task.val, task.test], task.per_step


def family_named(name: str, how: Search) -> WitnessFamily:
    """Families by name, joined by ``+``; a search has the settings of `how`."""
    return reduce(add, (how if part == how.name else family_of(part) for part in name.split("+")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=[*DRAWN, *TASKS], default=[*DRAWN, *TASKS])
    parser.add_argument("--witnesses", nargs="*", default=["gaussian", "surrogate", "search"])
    parser.add_argument("--effort", type=float, default=SearchSettings.effort)
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--depth", type=int, default=SearchSettings.depth, help="layers of a searched network")
    yes_or_no = argparse.BooleanOptionalAction
    parser.add_argument("--recurrent", action=yes_or_no, help="searched layers read their own spikes")
    options = parser.parse_args()
    shape = {"depth": options.depth, "recurrent": options.recurrent}
    how = Search(effort=options.effort if options.seconds is None else None, seconds=options.seconds, **shape)
    print("| data | witnesses | test % | train % | columns | seconds |\n|---|---|---|---|---|---|")
    for name in options.data:
        (train, val, test), per_step = load(name, options.seed)
        for witnesses in options.witnesses:
            family = family_named(witnesses, how)
            model = SpikingClassifier(witnesses=family, per_step=per_step, random_state=options.seed)
            began = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(train.X, train.y, validation=(val.X, val.y))
            seconds = time.process_time() - began
            right = [f"{100.0 * model.score(part.X, part.y):.2f}" for part in (test, train)]
            cells = [name, witnesses, *right, str(model.certificate_.support), f"{seconds:.0f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
