"""Images read as sequences: the pixels, row by row, cut into T equal chunks.

The sets are finite, so no image may serve twice: of byte-identical images only the first is kept, test images that
also occur among the training images are dropped, and the splits are drawn without replacement.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convexsnn.tasks.base import Split, Streams, TaskData, TaskInfo, TaskSettings, assemble, given
from convexsnn.tasks.image_source import Images, images_from_folder, images_from_openml

_CLASS_NAMES = tuple(str(digit) for digit in range(10))
_FASHION_CLASSES = (
    *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
# Where Debian's package dataset-fashion-mnist puts the files.
FASHION_FOLDER = "/usr/share/datasets/fashion-mnist"
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
FASHION_INFO = TaskInfo(
    name="fashion-mnist",
    description="articles of clothing of 28 x 28 pixels in T equal chunks",
    defaults=TaskSettings(n_train=6000, n_val=2000, n_test=2000, timesteps=28),
    per_step="never",
    source=f"IDX files in data_dir, else in {FASHION_FOLDER} (60000 + 10000 images)",
    examples=("fashion-mnist",),
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
    return _as_task(name, settings, [(pixels[index] / 16.0, labels[index]) for index in chosen], _CLASS_NAMES)


def load_mnist(name: str, settings: TaskSettings, streams: Streams) -> TaskData:
    """Train and validation from the front and the end of one random order of the training images; test from t10k.

    Raises
    ------
    ValueError
        If the data cannot be had, more images are asked for than there are, or timesteps does not divide 784.
    """
    _chunk_length(784, settings)
    parts = images_from_openml() if settings.data_dir is None else images_from_folder(settings.data_dir)
    return _of_two_parts(name, settings, streams, parts, _CLASS_NAMES)


def load_fashion_mnist(name: str, settings: TaskSettings, streams: Streams) -> TaskData:
    """Load Fashion-MNIST, whose files have the form of MNIST's.

    Raises
    ------
    ValueError
        As for MNIST. The message says where to get the data.
    """
    _chunk_length(784, settings)
    folder = FASHION_FOLDER if settings.data_dir is None else settings.data_dir
    if not Path(folder).is_dir():
        raise ValueError(
            f"there is no folder {folder} with the four IDX files of Fashion-MNIST: install Debian's package "
            "dataset-fashion-mnist, or get them from https://github.com/zalandoresearch/fashion-mnist and pass their "
            "folder as data_dir"
        )
    return _of_two_parts(name, settings, streams, images_from_folder(folder), _FASHION_CLASSES)


def _of_two_parts(
    name: str, settings: TaskSettings, streams: Streams, parts: tuple[Images, Images], class_names: tuple[str, ...]
) -> TaskData:
    """Splits of the published training part, and of the published test part."""
    (pool, pool_labels), (tests, test_labels) = parts
    n_train, n_val, n_test = _sizes(settings)
    keep = _first_occurrences(pool)
    _check_enough("n_train + n_val", n_train + n_val, len(keep), f"training images of {name}")
    order = streams.train.permutation(keep)
    train, val = order[:n_train], order[len(keep) - n_val :]
    keep = _first_occurrences(tests, {image.tobytes() for image in pool})
    _check_enough("n_test", n_test, len(keep), f"test images of {name} outside the training images")
    test = streams.test.permutation(keep)[:n_test]
    chosen = [(pool[index] / 255.0, pool_labels[index]) for index in (train, val)]
    return _as_task(name, settings, [*chosen, (tests[test] / 255.0, test_labels[test])], class_names)


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


def _as_task(
    name: str, settings: TaskSettings, parts: list[tuple[np.ndarray, np.ndarray]], class_names: tuple[str, ...]
) -> TaskData:
    n_pixels = parts[0][0].shape[1]
    width = _chunk_length(n_pixels, settings)
    order = np.arange(n_pixels)
    if settings.permute:
        order = np.random.default_rng(_PERMUTATION_SEED).permutation(n_pixels)
    splits = (
        Split(pixels[:, order].reshape(len(pixels), -1, width), labels.astype(np.int64)) for pixels, labels in parts
    )
    return assemble(name, settings, splits, class_names)
