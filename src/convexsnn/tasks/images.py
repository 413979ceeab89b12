"""Images read as sequences: the pixels, row by row, cut into T equal chunks.

The sets are finite, so no image may serve twice: of byte-identical images only the first is kept, test images that
also occur among the training images are dropped, and the splits are drawn without replacement.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexsnn.tasks.base import Split, Streams, TaskData, TaskInfo, TaskSettings, assemble, given
from convexsnn.tasks.mnist_source import mnist_from_idx, mnist_from_openml

_CLASS_NAMES = tuple(str(digit) for digit in range(10))
# Not the task's seed: results over several seeds are to be about one and the same permuted task.
_PERMUTATION_SEED = 0

DIGITS_INFO = TaskInfo(
    name="digits",
    description="handwritten digits of 8 x 8 pixels in T equal chunks",
    defaults=TaskSettings(n_train=1000, n_val=297, n_test=500, timesteps=8),
    per_step="never",
    source="bundled with scikit-learn (1797 images)",
    examples=("digits",),
)
MNIST_INFO = TaskInfo(
    name="mnist",
    description="handwritten digits of 28 x 28 pixels in T equal chunks",
    defaults=TaskSettings(n_train=6000, n_val=2000, n_test=2000, timesteps=14),
    per_step="never",
    source="IDX files in data_dir, else OpenML (60000 + 10000 images)",
    examples=("mnist",),
)


def load_digits(name: str, settings: TaskSettings, streams: Streams) -> TaskData:
    """Three parts of one random order of the images.

    Training images are taken from its front, test images from its end and validation images before those, so train
    and test do not depend on the other sizes, nor validation on n_train.

    Raises
    ------
    ValueError
        If more images are asked for than there are, or timesteps does not divide 64.
    """
    from sklearn.datasets import load_digits as sklearn_digits  # takes seconds to import

    bunch: Any = sklearn_digits()
    pixels, labels = bunch.data, bunch.target
    keep = _first_occurrences(pixels)
    n_train, n_val, n_test = _sizes(settings)
    _check_enough("n_train + n_val + n_test", n_train + n_val + n_test, len(keep), "digits images")
    order = streams.train.permutation(keep)
    rest, test = order[: len(keep) - n_test], order[len(keep) - n_test :]
    chosen = (rest[:n_train], rest[len(rest) - n_val :], test)
    return _as_task(name, settings, [(pixels[index] / 16.0, labels[index]) for index in chosen])


def load_mnist(name: str, settings: TaskSettings, streams: Streams) -> TaskData:
    """Train and validation from the front and the end of one random order of the training images; test from t10k.

    Raises
    ------
    ValueError
        If the data cannot be had, more images are asked for than there are, or timesteps does not divide 784.
    """
    _chunk_length(784, settings)
    if settings.data_dir is None:
        (pool, pool_labels), (tests, test_labels) = mnist_from_openml()
    else:
        pool, pool_labels = mnist_from_idx(settings.data_dir, "train")
        tests, test_labels = mnist_from_idx(settings.data_dir, "t10k")
    n_train, n_val, n_test = _sizes(settings)
    keep = _first_occurrences(pool)
    _check_enough("n_train + n_val", n_train + n_val, len(keep), "MNIST training images")
    order = streams.train.permutation(keep)
    train, val = order[:n_train], order[len(keep) - n_val :]
    keep = _first_occurrences(tests, {image.tobytes() for image in pool})
    _check_enough("n_test", n_test, len(keep), "MNIST test images outside the training images")
    test = streams.test.permutation(keep)[:n_test]
    parts = [(pool[index] / 255.0, pool_labels[index]) for index in (train, val)]
    return _as_task(name, settings, [*parts, (tests[test] / 255.0, test_labels[test])])


def _sizes(settings: TaskSettings) -> tuple[int, int, int]:
    return given("n_train", settings.n_train), given("n_val", settings.n_val), given("n_test", settings.n_test)


def _check_enough(names: str, asked: int, available: int, what: str) -> None:
    if asked > available:
        raise ValueError(f"{names} asks for {asked}, but there are only {available} different {what}; ask for fewer")


def _first_occurrences(images: np.ndarray, excluded: set[bytes] | None = None) -> np.ndarray:
    """Indices of the rows that equal no row before them and are not in `excluded`."""
    seen = set(excluded or ())
    keep = []
    for index, image in enumerate(images):
        key = image.tobytes()
        if key not in seen:
            seen.add(key)
            keep.append(index)
    return np.array(keep, dtype=np.int64)


def _chunk_length(n_pixels: int, settings: TaskSettings) -> int:
    timesteps = given("timesteps", settings.timesteps)
    if n_pixels % timesteps:
        divisors = [t for t in range(1, n_pixels + 1) if n_pixels % t == 0]
        raise ValueError(f"timesteps must divide the {n_pixels} pixels, not {timesteps}; choose one of {divisors}")
    return n_pixels // timesteps


def _as_task(name: str, settings: TaskSettings, parts: list[tuple[np.ndarray, np.ndarray]]) -> TaskData:
    n_pixels = parts[0][0].shape[1]
    width = _chunk_length(n_pixels, settings)
    order = np.arange(n_pixels)
    if settings.permute:
        order = np.random.default_rng(_PERMUTATION_SEED).permutation(n_pixels)
    splits = (
        Split(pixels[:, order].reshape(len(pixels), -1, width), labels.astype(np.int64)) for pixels, labels in parts
    )
    return assemble(name, settings, splits, _CLASS_NAMES)
