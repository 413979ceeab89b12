"""Sequences of real numbers: kernels with a convex readout beside the usual classifiers of time series.

    python benchmarks/series.py [--data GunPoint digits-100 ...] [--methods default few priced l1 windows-4
                                windows-28 trained trained-3 search members searches delayed ridge dtw minirocket
                                multirocket echo recurrent] [--seeds 3] [--mnist DIR] [--fashion DIR] [--cost]

Data are those that aeon brings with it, on their usual split, and the 8 x 8 digits of scikit-learn, row by row, on a
random split for each seed. Further data are those named in `TASKS`: images row by row, up to all of them, or pixel by
pixel in a random order. Prints a Markdown table: test accuracy in per cent, mean and standard deviation over seeds,
with the columns in use and the seconds of processor time of the fit. A method whose package is not installed says so.
One thread: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset

from convexsnn import Kernels, KernelSearch, Search, SpikingClassifier, TrainedKernels
from convexsnn.cost import inference_cost
from convexsnn.tasks import TaskSettings, load_task

BUNDLED = ("ArrowHead", "GunPoint", "ItalyPowerDemand", "BasicMotions", "JapaneseVowels", "OSULeaf")
DATA = (*BUNDLED, "PickupGestureWiimoteZ", "digits-100", "digits-1000")
TASKS = {
    "mnist-1d": ("mnist-1d", TaskSettings()),
    "mnist-1d-100": ("mnist-1d", TaskSettings(n_train=100)),
    "mnist-100": ("mnist", TaskSettings(n_train=100, timesteps=28)),
    "mnist-6000": ("mnist", TaskSettings(n_train=6000, timesteps=28)),
    "mnist-all": ("mnist", TaskSettings(n_train=59_999, n_val=1, n_test=10_000, timesteps=28)),
    "mnist-permuted": ("mnist", TaskSettings(n_train=6000, timesteps=784, permute=True)),
    "fashion-mnist-all": ("fashion-mnist", TaskSettings(n_train=59_800, n_val=1, n_test=9_900, timesteps=28)),
}
"""Tasks and their settings."""
ALPHAS = np.logspace(-3, 3, 10)


class Split(NamedTuple):
    """Sequences, a list of (T_i, d), and their labels."""

    X: list[np.ndarray]
    y: np.ndarray


class Size(NamedTuple):
    """Columns in use, neurons, and what an inference costs; means over seeds are printed."""

    columns: float
    neurons: float
    spikes: float
    operations: float

    @classmethod
    def of(cls, model: SpikingClassifier, X: list[np.ndarray]) -> Size:
        """Of a fitted model on some sequences."""
        cost, columns = inference_cost(model.network_, model.sequences(X)), [f.certificate_.support for f in model.fits]
        return cls(sum(columns), cost.neurons, cost.spikes_per_inference, cost.effective_acs + cost.effective_macs)


Fitted = tuple[Callable[[list[np.ndarray]], np.ndarray], Callable[[list[np.ndarray]], Size] | None]
"""Predictions of sequences, and for our own how large the network is."""


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
        return model.predict, partial(Size.of, model)

    return fit


def in_windows(count: int) -> Callable[[Split, int], Fitted]:
    """A thousand kernels that are also read in windows, and none of their columns left out."""
    return ours(witnesses=Kernels(last=1000, windows=(count,)), loss="squared", columns=1000 * (2 + count))


def trained(members: int) -> Callable[[Split, int], Fitted]:
    """Half a thousand trained kernels a member, that are also read in four windows, and a small l1 penalty."""
    return ours(witnesses=TrainedKernels(windows=(4,)), loss="cross_entropy", beta=5e-4, members=members)


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


def multirocket(seed: int) -> Any:
    from aeon.classification.convolution_based import MultiRocketHydraClassifier

    return MultiRocketHydraClassifier(random_state=seed)


def echo(train: Split, seed: int) -> Fitted:
    """An echo state network of 500 units: the mean of its states and the last of them, read by ridge regression."""
    from reservoirpy.nodes import Reservoir

    unit = np.concatenate(train.X).std(axis=0)

    def states(X: list[np.ndarray]) -> np.ndarray:
        node = Reservoir(500, sr=0.9, lr=0.5, seed=seed)  # a new one has the same weights, and is at rest
        runs = node.run([x / np.where(unit > 0.0, unit, 1.0) for x in X])
        return np.stack([np.concatenate([run.mean(axis=0), run[-1]]) for run in runs])

    model = ridge(seed).fit(states(train.X), train.y)
    return (lambda X: model.predict(states(X))), None


class Recurrent(torch.nn.Module):
    """128 recurrent LIF neurons of snnTorch, with leaks that are learned, whose rates are read."""

    def __init__(self, features: int, classes: int) -> None:
        import snntorch

        super().__init__()
        self.below, self.read = torch.nn.Linear(features, 128), torch.nn.Linear(128, classes)
        leaks, slope = torch.empty(128).uniform_(0.5, 0.99), snntorch.surrogate.fast_sigmoid(5)
        self.neurons = snntorch.RLeaky(beta=leaks, linear_features=128, learn_beta=True, spike_grad=slope)
        with torch.no_grad():
            self.neurons.recurrent.weight.mul_(0.3)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        spikes, potential = self.neurons.init_rleaky()
        total = torch.zeros(len(X), 128)
        for x in self.below(X).unbind(dim=1):
            spikes, potential = self.neurons(x, spikes, potential)
            total = total + spikes
        return self.read(total / X.shape[1])


def recurrent(train: Split, seed: int) -> Fitted:
    """A recurrent network in snnTorch, trained by surrogate gradients: Adam, 300 epochs, batches of 32."""
    torch.manual_seed(seed)
    steps, every = max(map(len, train.X)), np.concatenate(train.X)
    mean, unit = every.mean(axis=0), np.where(every.std(axis=0) > 0.0, every.std(axis=0), 1.0)
    labels, y = np.unique(train.y, return_inverse=True)

    def tensor(X: list[np.ndarray]) -> torch.Tensor:
        return torch.tensor(padded([(x - mean) / unit for x in X], steps).transpose(0, 2, 1), dtype=torch.float32)

    model, rows = Recurrent(train.X[0].shape[1], len(labels)), TensorDataset(tensor(train.X), torch.tensor(y))
    descent = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(300):
        for x, label in DataLoader(rows, 32, shuffle=True):
            descent.zero_grad()
            torch.nn.functional.cross_entropy(model(x), label).backward()
            descent.step()

    def predict(X: list[np.ndarray]) -> np.ndarray:
        with torch.no_grad():
            return labels[model(tensor(X)).argmax(dim=1).numpy()]

    return predict, None


NEEDED = {"recurrent": "snntorch", "dtw": "aeon", "minirocket": "aeon", "multirocket": "aeon", "echo": "reservoirpy"}
"""The packages of methods of other make."""
METHODS: dict[str, tuple[str, Callable[[Split, int], Fitted]]] = {
    "default": ("default", ours()),
    "free": ("free intercept", ours(intercept="free")),
    "few": ("at most 60 columns", ours(columns=60)),
    "priced": ("60 columns by `KernelSearch`", ours(witnesses=KernelSearch())),
    "l1": ("kernels, logistic + l1", ours(witnesses=Kernels(), loss="logistic", penalty="l1", beta="path")),
    "windows-4": ("1000 kernels in 4 windows", in_windows(4)),
    "trained": ("trained kernels in 4 windows", trained(members=1)),
    "trained-3": ("trained kernels in 4 windows, 3 members", trained(members=3)),
    "windows-28": ("1000 kernels in 28 windows", in_windows(28)),
    "search": ("search", ours(witnesses="search")),
    "members": ("5 members of 200 columns", ours(columns=200, members=5)),
    "searches": ("search, 3 members", ours(witnesses="search", members=3)),
    "delayed": ("search with delays, rates", delayed),
    "ridge": ("ridge on raw numbers", on_arrays(ridge, flat=True)),
    "dtw": ("1-NN DTW", on_arrays(nearest, flat=False)),
    "minirocket": ("MiniRocket", on_arrays(minirocket, flat=False)),
    "multirocket": ("MultiRocketHydra", on_arrays(multirocket, flat=False)),
    "echo": ("echo state network", echo),
    "recurrent": ("recurrent network in snnTorch", recurrent),
}


def measure(name: str, method: Callable[[Split, int], Fitted], options: argparse.Namespace) -> str:
    """A cell of the table."""
    accuracies, sizes, seconds = [], [], []
    for seed in range(options.seeds):
        train, test = load(name, seed, options.folders)
        begun = time.process_time()
        predict, size = method(train, seed)
        seconds.append(time.process_time() - begun)
        accuracies.append(100.0 * float(np.mean(predict(test.X) == test.y)))
        sizes += [] if size is None else [size(test.X)]
    means = zip(Size._fields, np.mean(sizes, axis=0), strict=True) if sizes else ()
    of = "".join(f"{mean:,.0f} {name}, " for name, mean in means if options.cost or name == "columns")
    spread = f" ± {np.std(accuracies):.1f}" if options.seeds > 1 else ""
    return f"{np.mean(accuracies):.1f}{spread} ({of}{np.median(seconds):.1f} s)"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=DATA)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cost", action="store_true", help="neurons, spikes and operations of our own")
    for task in ("mnist", "fashion"):
        parser.add_argument(f"--{task}", type=Path, help=f"folder of the four IDX files of {task}")
    options = parser.parse_args()
    options.folders = {"mnist": options.mnist, "fashion-mnist": options.fashion}
    warnings.simplefilter("ignore")
    print("| data | " + " | ".join(METHODS[method][0] for method in options.methods) + " |")
    print("|---" * (1 + len(options.methods)) + "|")
    for name in options.data:
        cells = [
            measure(name, METHODS[method][1], options)
            if method not in NEEDED or find_spec(NEEDED[method])
            else f"{NEEDED[method]} is not installed"
            for method in options.methods
        ]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
