"""MNIST-1D: digits as short noisy curves, drawn anew for every seed (Greydanus and Kobak, arXiv 2011.14439)."""

from __future__ import annotations

import numpy as np

from convexsnn.tasks.base import Split, Streams, TaskData, TaskInfo, TaskSettings, assemble, draw_splits, given

INFO = TaskInfo(
    name="mnist-1d",
    description="ten curves in the shape of digits, moved, stretched, sheared and with noise",
    defaults=TaskSettings(n_train=4000, n_val=1000, n_test=1000, timesteps=40),
    per_step="never",
    source="generated",
    examples=("mnist-1d",),
)
# The curves of the ten digits, and how they are changed: the constants of the published generator.
_CURVES = np.array(
    [
        [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
        [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
        [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
        [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
        [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
        [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
        [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
        [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
    ]
)
_PADDING = (36, 60)
_SCALE, _SHEAR = 0.4, 0.75
_LARGEST_SHIFT = 48
_SMOOTH_NOISE, _SMOOTHING, _NOISE = 0.25, 2.0, 0.02
# What lies beyond a curve is told from the curve by being exactly zero.
_NOT_ZERO = 1e-8
# Mean and standard deviation of what is drawn, of 200 000 curves of 40 steps: numbers of the task, not of a sample.
_MEAN, _DEVIATION = -0.0060, 0.1547
# Not the task's seed: results over several seeds are to be about one and the same permuted task.
_PERMUTATION_SEED = 0


def load_mnist_1d(name: str, settings: TaskSettings, streams: Streams) -> TaskData:
    """Draw the three splits independently of one another; as many curves of each digit, up to one.

    Raises
    ------
    ValueError
        If timesteps is below 2.
    """
    timesteps = given("timesteps", settings.timesteps)
    if timesteps < 2:
        raise ValueError(f"timesteps must be at least 2 for {name}, not {timesteps}")
    order = np.arange(timesteps)
    if settings.permute:
        order = np.random.default_rng(_PERMUTATION_SEED).permutation(timesteps)
    splits = draw_splits(settings, streams, lambda rng, n: _draw(rng, n, order))
    return assemble(name, settings, splits, tuple(map(str, range(len(_CURVES)))))


def _draw(rng: np.random.Generator, n: int, order: np.ndarray) -> Split:
    """Curves with their steps in this order."""
    labels = rng.permutation(np.arange(n) % len(_CURVES))
    curves = _changed(_templates()[labels], rng, len(order))
    return Split(((curves - _MEAN) / _DEVIATION)[:, order, None], labels)


def _templates() -> np.ndarray:
    """The curves (10, 12), each of the same deviation and beginning at zero."""
    centred = _CURVES - _CURVES.mean(axis=1, keepdims=True)
    scaled = centred / centred.std(axis=1, keepdims=True)
    return (scaled - scaled[:, :1]) / 6.0


def _changed(curves: np.ndarray, rng: np.random.Generator, timesteps: int) -> np.ndarray:
    """Curves (n, timesteps): padded, stretched, scaled and moved, with noise, sheared, and read at so many steps."""
    from scipy.ndimage import gaussian_filter1d  # argument errors should not wait for it

    n, length = curves.shape
    low, high = _PADDING
    padding = rng.integers(low, high + 1, size=n)
    padded = np.zeros((n, length + high))
    padded[:, :length] = curves + _NOT_ZERO
    shown = np.stack([_resampled(row[: length + pad], length + high) for row, pad in zip(padded, padding, strict=True)])
    shown *= 1.0 + _SCALE * (rng.random((n, 1)) - 0.5)
    steps = np.arange(shown.shape[1])
    shown = np.take_along_axis(shown, (steps - rng.integers(_LARGEST_SHIFT, size=(n, 1))) % len(steps), axis=1)
    beyond = gaussian_filter1d(_SMOOTH_NOISE * rng.normal(size=shown.shape), _SMOOTHING, axis=1)
    shown = np.where(shown != 0.0, shown, beyond) + _NOISE * rng.normal(size=shown.shape)
    shown -= _SHEAR * (rng.random((n, 1)) - 0.5) * np.linspace(-0.5, 0.5, len(steps))
    return np.stack([_resampled(row, timesteps) for row in shown])


def _resampled(curve: np.ndarray, steps: int) -> np.ndarray:
    """The curve at so many equally spaced places, linear between its points."""
    return np.interp(np.linspace(0.0, 1.0, steps), np.linspace(0.0, 1.0, len(curve)), curve)
