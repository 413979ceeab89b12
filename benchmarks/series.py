"""Sequences of real numbers: kernels with a convex readout beside the usual classifiers of time series.

    python benchmarks/series.py [--data GunPoint digits-100 ...] [--methods default few priced l1 search members
                                searches delayed ridge dtw minirocket echo] [--seeds 3] [--mnist DIR] [--fashion DIR]

Data are those that aeon brings with it, on their usual split, and the 8 x 8 digits of scikit-learn, row by row, on a
random split for each seed. ``--data mnist-1d mnist-6000 mnist-all mnist-permuted fashion-mnist-all`` has more: images
row by row, all of them or nearly so, or pixel by pixel in a random order. Prints a Markdown table: test accuracy in per
cent, mean and standard deviation over seeds, with the columns in use and the seconds of processor time of the fit. A
method whose package is not installed says so. One thread: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from convexsnn import Kernels, KernelSearch, Search, SpikingClassifier
from convexsnn.tasks import TaskSettings, load_task

BUNDLED = ("ArrowHead", "GunPoint", "ItalyPowerDemand", "BasicMotions", "JapaneseVowels", "OSULeaf")
DATA = (*BUNDLED, "PickupGestureWiimoteZ", "digits-100", "digits-1000")
TASKS = {
    "mnist-1d": ("mnist-1d", TaskSettings()),
    "mnist-6000": ("mnist", TaskSettings(n_train=6000, timesteps=28)),
    "mnist-all": ("mnist", TaskSettings(n_train=59_999, n_val=1, n_test=10_000, timesteps=28)),
    "mnist-permuted": ("mnist", TaskSettings(n_train=2000, timesteps=784, permute=True)),
    "fashion-mnist-all": ("fashion-mnist", TaskSettings(n_train=59_800, n_val=1, n_test=9_900, timesteps=28)),
}
"""Tasks and their settings."""
ALPHAS = np.logspace(-3, 3, 10)


class Split(NamedTuple):
    """Sequences, a list of (T_i, d), and their labels."""

    X: list[np.ndarray]
    y: np.ndarray


Fitted = tuple[Callable[[list[np.ndarray]], np.ndarray], int | None]
"""Predictions of sequences, and the columns in use."""


Folders = dict[str, Path | None]
"""Where the files of a task are; None where the task knows."""


def load(name: str, seed: int, folders: Folders) -> tuple[Split, Split]:
    """Training and test data."""
    if name in TASKS:
        task_name, settings = TASKS[name]
        task = load_task(task_name, replace(settings, seed=seed, data_dir=folders.get(task_name)))
        return Split(list(task.train.X), task.train.y), Split(list(task.test.X), task.test.y)
    if name.startswith("digits-"):
        X, y = load_digits(return_X_y=True)
        parts = train_test_split(X.reshape(-1, 8, 8), y, train_size=int(name[7:]), random_state=seed, stratify=y)
        return Split(list(parts[0]), parts[2]), Split(list(parts[1]), parts[3])
    import aeon.datasets

    folder = Path(aeon.datasets.__file__).parent / "data" / name
    train, test = (aeon.datasets.load_from_ts_file(str(folder / f"{name}_{part}.ts")) for part in ("TRAIN", "TEST"))
    as_split = lambda X, y: Split([np.asarray(x, dtype=np.float64).T for x in X], np.asarray(y))  # noqa: E731
    return as_split(*train), as_split(*test)


def padded(X: list[np.ndarray], steps: int) -> np.ndarray:
    """(n, d, steps), or of 9 steps where these are fewer, which MiniRocket needs: cut off, or zero after the end."""
    out = np.zeros((len(X), X[0].shape[1], max(9, steps)))
    for row, x in zip(out, X, strict=True):
        row[:, : len(x)] = x[:steps].T
    return out


def ours(**settings: Any) -> Callable[[Split, int], Fitted]:
    """The estimator as it comes, but for some settings."""

    def fit(train: Split, seed: int) -> Fitted:
        model = SpikingClassifier(**settings, random_state=seed).fit(train.X, train.y)
        return model.predict, sum(fit.certificate_.support for fit in model.fits)

    return fit


def delayed(train: Split, seed: int) -> Fitted:
    """A search for neurons that see five steps, over an eighth of a sequence, and are read by their rates."""
    gap = max(1, int(np.median([len(x) for x in train.X])) // 32)
    family = Search(depth=2, readout="rate", delays=tuple(gap * i for i in range(5)), standardise=True)
    return ours(witnesses=family, beta=0.02)(train, seed)


def on_arrays(make: Callable[[int], Any], *, flat: bool) -> Callable[[Split, int], Fitted]:
    """A classifier of other make, on arrays (n, d, T) of the longest training sequence, or flattened."""

    def fit(train: Split, seed: int) -> Fitted:
        steps = max(map(len, train.X))
        prepare = lambda X: padded(X, steps).reshape(len(X), -1) if flat else padded(X, steps)  # noqa: E731
        model = make(seed).fit(prepare(train.X), train.y)
        return (lambda X: model.predict(prepare(X))), None

    return fit


def ridge(_: int) -> Any:
    return make_pipeline(StandardScaler(), RidgeClassifierCV(ALPHAS))


def nearest(_: int) -> Any:
    from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

    return KNeighborsTimeSeriesClassifier(distance="dtw", n_neighbors=1)


def minirocket(seed: int) -> Any:
    from aeon.classification.convolution_based import MiniRocketClassifier

    return MiniRocketClassifier(random_state=seed)


def echo(train: Split, seed: int) -> Fitted:
    """An echo state network of 500 units: the mean of its states and the last of them, read by ridge regression."""
    from reservoirpy.nodes import Reservoir

    node, unit = Reservoir(500, sr=0.9, lr=0.5, seed=seed), np.concatenate(train.X).std(axis=0)

    def states(X: list[np.ndarray]) -> np.ndarray:
        runs = [node.run(x / np.where(unit > 0.0, unit, 1.0), reset=True) for x in X]
        return np.stack([np.concatenate([run.mean(axis=0), run[-1]]) for run in runs])

    model = ridge(seed).fit(states(train.X), train.y)
    return (lambda X: model.predict(states(X))), None


NEEDED = {"dtw": "aeon", "minirocket": "aeon", "echo": "reservoirpy"}
"""The packages of methods of other make."""
METHODS: dict[str, tuple[str, Callable[[Split, int], Fitted]]] = {
    "default": ("default", ours()),
    "free": ("free intercept", ours(intercept="free")),
    "few": ("at most 60 columns", ours(columns=60)),
    "priced": ("60 columns by `KernelSearch`", ours(witnesses=KernelSearch())),
    "l1": ("kernels, logistic + l1", ours(witnesses=Kernels(), loss="logistic", penalty="l1", beta="path")),
    "search": ("search", ours(witnesses="search")),
    "members": ("5 members of 200 columns", ours(columns=200, members=5)),
    "searches": ("search, 3 members", ours(witnesses="search", members=3)),
    "delayed": ("search with delays, rates", delayed),
    "ridge": ("ridge on raw numbers", on_arrays(ridge, flat=True)),
    "dtw": ("1-NN DTW", on_arrays(nearest, flat=False)),
    "minirocket": ("MiniRocket", on_arrays(minirocket, flat=False)),
    "echo": ("echo state network", echo),
}


def measure(name: str, method: Callable[[Split, int], Fitted], seeds: int, folders: Folders) -> str:
    """A cell of the table."""
    accuracies, columns, seconds = [], [], []
    for seed in range(seeds):
        train, test = load(name, seed, folders)
        begun = time.process_time()
        predict, used = method(train, seed)
        seconds.append(time.process_time() - begun)
        accuracies.append(100.0 * float(np.mean(predict(test.X) == test.y)))
        columns.append(used)
    of = "" if columns[0] is None else f"{np.mean([c for c in columns if c is not None]):.0f} columns, "
    spread = f" ± {np.std(accuracies):.1f}" if seeds > 1 else ""
    return f"{np.mean(accuracies):.1f}{spread} ({of}{np.median(seconds):.1f} s)"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=DATA)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    for task in ("mnist", "fashion"):
        parser.add_argument(f"--{task}", type=Path, help=f"folder of the four IDX files of {task}")
    options = parser.parse_args()
    folders: Folders = {"mnist": options.mnist, "fashion-mnist": options.fashion}
    warnings.simplefilter("ignore")
    print("| data | " + " | ".join(METHODS[method][0] for method in options.methods) + " |")
    print("|---" * (1 + len(options.methods)) + "|")
    for name in options.data:
        cells = [
            measure(name, METHODS[method][1], options.seeds, folders)
            if method not in NEEDED or find_spec(NEEDED[method])
            else f"{NEEDED[method]} is not installed"
            for method in options.methods
        ]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
