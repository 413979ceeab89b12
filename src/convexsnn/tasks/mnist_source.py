"""The MNIST images, from IDX files or from OpenML."""

from __future__ import annotations

from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from convexsnn.tasks.idx import find_idx, read_idx

SIDE = 28
N_CLASSES = 10
# OpenML keeps both parts in one table, the training images first.
_OPENML_TRAIN, _OPENML_TEST = 60_000, 10_000


def mnist_from_idx(folder: str | Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one part, ``train`` or ``t10k``, from the IDX files in `folder`.

    Returns
    -------
    images : uint8 array of shape (n, 784)
    labels : int64 array of shape (n,)

    Raises
    ------
    ValueError
        If a file is missing, damaged, not IDX, or does not hold images of 28 x 28 pixels with labels 0 .. 9.
    """
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
    return images.reshape(len(images), SIDE * SIDE), labels.astype(np.int64)


def mnist_from_openml() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(images, labels) of the 60000 training and of the 10000 test images, as `mnist_from_idx` gives them.

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
    return (images[:_OPENML_TRAIN], labels[:_OPENML_TRAIN]), (images[_OPENML_TRAIN:], labels[_OPENML_TRAIN:])
