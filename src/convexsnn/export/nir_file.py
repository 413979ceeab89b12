"""Files of NIR graphs (HDF5), and the arrays within a graph, whoever made it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convexsnn.export.library import library
from convexsnn.reading import check_inflated, reading, regular_size

HEAP, OBJECT = b"GCOL\x01\0\0\0", struct.Struct("<HH4xQ")


def read_nir_file(path: Path) -> Any:
    """The nir.NIRGraph of a file.

    Raises
    ------
    DamagedFileError
        When the file is missing, damaged, of another kind, or claims more than it can hold.
    """
    nir, h5py = library("nir"), library("h5py")
    stored = regular_size(path)
    with reading(path, "file"):
        if not h5py.is_hdf5(path):
            raise ValueError("it is no HDF5 file, as those of NIR are")
        _check_heaps(path.read_bytes())
        with h5py.File(path, "r") as file:
            check_inflated(path, "arrays", _claimed(file, h5py, set()), stored)
    with reading(path, "graph"):
        return nir.read(path)


def _check_heaps(data: bytes) -> None:
    """ValueError for a heap of texts with free space of size 0, in which the HDF5 library would search for ever.

    A heap begins with `HEAP` and its size. Objects follow: index, count and size, then the text, padded to 8 bytes; the
    size of free space, which has index 0, includes its header (HDF5 file format 3.0, section III.E).
    """
    start = data.find(HEAP)
    while start >= 0:
        end = min(len(data), start + int.from_bytes(data[start + 8 : start + 16], "little"))
        place = start + 16
        while place + OBJECT.size <= end:
            index, _, size = OBJECT.unpack_from(data, place)
            if index == size == 0:
                raise ValueError("a heap of its texts is damaged")
            place += size if index == 0 else OBJECT.size + -(-size // 8) * 8
        start = data.find(HEAP, start + len(HEAP))


def _claimed(group: Any, h5py: Any, seen: set[Any]) -> int:
    """Bytes of all arrays in a group; ValueError for what reads other files, and for groups within themselves."""
    total = 0
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name} is a link, which is not followed")
        entry = group[name]
        if isinstance(entry, h5py.Dataset):
            if entry.is_virtual or entry.external:
                raise ValueError(f"{name} is kept in another file, which is not read")
            total += entry.size * entry.dtype.itemsize
        else:
            if entry.id in seen:
                raise ValueError(f"{name} holds itself")
            total += _claimed(entry, h5py, seen | {entry.id})
    return total


def node_array(value: Any, where: str) -> np.ndarray:
    """A parameter of a node as a float32 or float64 array; what is float64, or no float, is float64.

    Graphs hold arrays of numpy, and tensors where Norse or sinabs made them, of half precision too.

    Raises
    ------
    ValueError
        When it does not hold finite real numbers; the message begins with `where`.
    """
    if isinstance(value, Tensor):
        if value.device.type == "meta":
            raise ValueError(f"{where} is a tensor on the device meta, which holds no numbers")
        value = value.detach().to("cpu", torch.float64 if value.dtype == torch.float64 else torch.float32).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{where} must be real numbers, got {array.dtype}")
    half = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    array = array.astype(np.float32 if half else np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{where} must be finite")
    return array
