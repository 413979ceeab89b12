"""The images of MNIST, and of sets that have its form, from IDX files; those of MNIST also from OpenML."""

from __future__ import annotations

from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convexsnn.tasks.idx import find_idx, read_idx

SIDE = 28
N_CLASSES = 10
# OpenML keeps both parts in one table, the training images first.
_OPENML_TRAIN, _OPENML_TEST = 60_000, 10_000


class Images(NamedTuple):
    """Images and what they show.

    Attributes
    ----------
    pixels : uint8 array of shape (n, 784)
    labels : int64 array of shape (n,)
    """

    pixels: np.ndarray
    labels: np.ndarray


def images_from_folder(folder: str | Path) -> tuple[Images, Images]:
    """The training and the test images, from the four IDX files in `folder`.

    Raises
    ------
    ValueError
        If a file is missing, damaged, not IDX, or does not hold images of 28 x 28 pixels with labels 0 .. 9.
    """
    return _part(folder, "train"), _part(folder, "t10k")


def _part(folder: str | Path, part: str) -> Images:
    image_path, label_path = find_idx(folder, f"{part}-images", 3), find_idx(folder, f"{part}-labels", 1)
    images, labels = read_idx(image_path, 3), read_idx(label_path, 1)
    if images.shape[1:] != (SIDE, SIDE):
        raise ValueError(
            f"{image_path} holds images of {images.shape[1]} x {images.shape[2]} pixels, not {SIDE} x {SIDE}"
        )
    if len(images) != len(labels):
        raise ValueError(f"{image_path} holds {len(images)} images, but {label_path} {len(labels)} labels")
    if len(labels) and labels.max() >= N_CLASSES:
        raise ValueError(f"{label_path} holds the label {labels.max()}; expected 0 .. {N_CLASSES - 1}")
    return Images(images.reshape(len(images), SIDE * SIDE), labels.astype(np.int64))


def images_from_openml() -> tuple[Images, Images]:
    """The 60000 training and the 10000 test images of MNIST.

    scikit-learn keeps a copy in its data home, so this goes on the network once.

    Raises
    ------
    ValueError
        If OpenML cannot be reached or its table is not the expected one.
    """
    from sklearn.datasets import fetch_openml  # takes seconds to import

    try:
        table: Any = fetch_openml("mnist_784", version=1, as_frame=False, parser="liac-arff")
    except (OSError, HTTPException) as error:
        raise ValueError(
            f"data_dir is not set and mnist_784 cannot be fetched from OpenML ({error}); download the four MNIST IDX "
            "files and pass their folder as data_dir"
        ) from error
    if table.data.shape != (_OPENML_TRAIN + _OPENML_TEST, SIDE * SIDE):
        raise ValueError(f"OpenML's mnist_784 has shape {table.data.shape}, not (70000, 784); pass data_dir instead")
    images, labels = table.data.astype(np.uint8), table.target.astype(np.int64)
    train, test = slice(None, _OPENML_TRAIN), slice(_OPENML_TRAIN, None)
    return Images(images[train], labels[train]), Images(images[test], labels[test])
