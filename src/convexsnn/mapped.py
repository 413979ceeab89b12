"""Tensors in memory, or in a file that has no name: nothing is left of it when the process ends, however it ends."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def allocated(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, folder: Path | None = None) -> Tensor:
    """An uninitialised tensor; with `folder` in a file of that folder, which memory only caches.

    Raises
    ------
    OSError
        When there is not enough room in the folder.
    ValueError
        When a file is asked for and the device is not the CPU.
    """
    if folder is None:
        return torch.empty(shape, dtype=dtype, device=device)
    if device.type != "cpu":
        raise ValueError(f"columns_in keeps columns in a file, which the CPU reads, but the device is {device}")
    as_numpy = torch.empty(0, dtype=dtype).numpy().dtype
    size = max(1, int(np.prod(shape))) * as_numpy.itemsize
    with tempfile.TemporaryFile(dir=folder) as file:
        _reserve(file.fileno(), size, folder)
        return torch.from_numpy(np.memmap(file, dtype=as_numpy, mode="r+", shape=shape))


def _reserve(file: int, size: int, folder: Path) -> None:
    """Take the room on the disk now: a full disk could not be told of later, when memory is written back."""
    if not hasattr(os, "posix_fallocate"):
        os.ftruncate(file, size)
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        reason = f"columns of {size / 2**30:.3g} GiB do not fit in columns_in={str(folder)!r} ({error.strerror})"
        raise OSError(error.errno, reason) from error
