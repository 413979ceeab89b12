"""Regression of real sequences: the next value of a series from windows of it, beside ridge and an echo state network.

    python benchmarks/forecasts.py [--data narma-10 mackey-glass airline] [--methods default spikes bypass ridge
                                   reservoir] [--seeds 3]

NARMA-10 is driven by uniform noise, of which the last 20 values are known: 1000 windows for training, 1000 later ones
for testing. Of the Mackey-Glass series (tau = 17, one value a time unit) the last 20 values are known: 1000 and 480
windows. Of the airline passengers, which aeon brings with it, the last 12 months: 100 and 32 windows. Prints a Markdown
table: test R^2, mean and standard deviation over seeds, with neurons, columns and seconds. The reservoir is left out
where reservoirpy is not installed. One thread: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from convexsnn import Kernels, SpikingRegressor

ALPHAS = np.logspace(-6, 6, 25)


class Windows(NamedTuple):
    """Windows (n, T) and what follows each, (n,)."""

    X: np.ndarray
    y: np.ndarray


Parts = tuple[Windows, Windows]
Fitted = tuple[Callable[[np.ndarray], np.ndarray], str]
"""Predictions of windows, and what the network is."""


def narma(seed: int) -> Parts:
    """NARMA-10 from its input."""
    length, skipped, window, n = 2200, 200, 20, 1000
    u, y = np.random.default_rng(seed).uniform(0.0, 0.5, length), np.zeros(length)
    for t in range(9, length - 1):
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
    X = np.stack([u[t - window : t] for t in range(skipped, length)])
    return Windows(X[:n], y[skipped:][:n]), Windows(X[n:], y[skipped:][n:])


def mackey_glass(seed: int) -> Parts:
    """The next value of the Mackey-Glass series."""
    step, delay, steps = 0.1, 170, 16_000
    x = np.full(delay + steps + 1, 1.2 + 0.02 * np.random.default_rng(seed).normal())
    for t in range(delay, delay + steps):
        x[t + 1] = x[t] + step * (0.2 * x[t - delay] / (1.0 + x[t - delay] ** 10) - 0.1 * x[t])
    return following(x[delay::10][100:1600], 20, 1000)


def airline(_: int) -> Parts:
    """The passengers of the next month."""
    from aeon.datasets import load_airline

    return following(np.asarray(load_airline(), dtype=np.float64).ravel(), 12, 100)


def following(series: np.ndarray, window: int, n: int) -> Parts:
    """Windows of a series with the value after each; the first n are for training."""
    X, y = np.lib.stride_tricks.sliding_window_view(series, window)[:-1], series[window:]
    return Windows(X[:n], y[:n]), Windows(X[n:], y[n:])


def ours(**settings: object) -> Callable[[Windows, int], Fitted]:
    """The estimator with these settings."""

    def fit(train: Windows, seed: int) -> Fitted:
        model = SpikingRegressor(random_state=seed, **settings).fit(train.X[:, :, None], train.y)
        of = f"{model.network_.hidden.n_neurons} neurons, {model.certificate_.support} columns, "
        return (lambda X: model.predict(X[:, :, None])), of

    return fit


def ridge(train: Windows, _: int) -> Fitted:
    return make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(train.X, train.y).predict, ""


def reservoir(train: Windows, seed: int) -> Fitted:
    """An echo state network of 200 units, read at the end of each window; the ridge is chosen by leaving out rows."""
    from reservoirpy.nodes import Reservoir

    node, unit = Reservoir(200, sr=0.9, lr=0.5, seed=seed), train.X.std()

    def states(X: np.ndarray) -> np.ndarray:
        return np.stack([node.run(x[:, None] / unit, reset=True)[-1] for x in X])

    model = RidgeCV(ALPHAS).fit(states(train.X), train.y)
    return (lambda X: model.predict(states(X))), ""


DATA: dict[str, Callable[[int], Parts]] = {"narma-10": narma, "mackey-glass": mackey_glass, "airline": airline}
METHODS: dict[str, tuple[str, Callable[[Windows, int], Fitted]]] = {
    "default": ("default", ours()),
    "spikes": ("spikes alone", ours(witnesses=Kernels(last=5000, readouts=("spike",)), columns=200)),
    "bypass": (
        "spikes and a bypass",
        ours(witnesses=Kernels(last=5000, readouts=("spike",)), columns=200, bypass=12),
    ),
    "ridge": ("ridge on the window", ridge),
    "reservoir": ("echo state network", reservoir),
}


def measure(data: Callable[[int], Parts], method: Callable[[Windows, int], Fitted], seeds: int) -> str:
    """A cell of the table."""
    scores, seconds, of = [], [], ""
    for seed in range(seeds):
        train, test = data(seed)
        begun = time.perf_counter()
        predict, of = method(train, seed)
        seconds.append(time.perf_counter() - begun)
        scores.append(r2_score(test.y, predict(test.X)))
    spread = f" ± {np.std(scores):.3f}" if seeds > 1 else ""
    return f"{np.mean(scores):.4f}{spread} ({of}{np.median(seconds):.1f} s)"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    methods = [m for m in options.methods if m != "reservoir" or find_spec("reservoirpy")]
    print("| data | " + " | ".join(METHODS[method][0] for method in methods) + " |")
    print("|---" * (1 + len(methods)) + "|")
    for name in options.data:
        cells = [measure(DATA[name], METHODS[method][1], options.seeds) for method in methods]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
