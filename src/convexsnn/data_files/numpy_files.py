"""Reading .npz and .npy files: plain arrays, none of which is unpickled, and none larger than what is stored."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from convexsnn.reading import DamagedFileError, check_inflated, reading, regular_size

NPY_MAGIC = b"\x93NUMPY"


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, without unpickling anything.

    Raises
    ------
    DamagedFileError
        When the file is missing, damaged or of another kind, holds objects, or claims more than it stores.
    """
    regular_size(path)
    if not zipfile.is_zipfile(path):
        raise DamagedFileError(path, "file", "it is not an .npz file: save it with numpy.savez(FILE, X=X, y=y)")
    with reading(path, "archive"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename.removesuffix(".npy") for member in members]
        if len(set(names)) < len(names):
            raise ValueError("an array occurs twice")
        check_inflated(path, "archive", sum(member.file_size for member in members), path.stat().st_size)
        arrays = {}
        for name, member in zip(names, members, strict=True):
            with reading(path, f"array {name}"):
                arrays[name] = _read_array(archive, member, path, name)
        return arrays


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file. Raises DamagedFileError, as `read_npz` does."""
    size = regular_size(path)
    with reading(path, "array"):
        _check_header(path.open("rb"), size)
        with path.open("rb") as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, name: str) -> np.ndarray:
    """One member; what its header claims is held against what is stored before any memory is taken."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is compressed in a way that numpy does not use: save it with numpy.savez")
    check_inflated(path, f"array {name}", member.file_size, member.compress_size)
    _check_header(archive.open(member), member.file_size)
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _check_header(opened: IO[bytes], size: int) -> None:
    """ValueError unless an array of plain numbers or text follows, of `size` bytes with its header."""
    with opened as stream:
        magic = stream.read(len(NPY_MAGIC) + 2)
        if not magic.startswith(NPY_MAGIC):
            raise ValueError("it is no array (.npy) but something else, such as a pickle, which is never read")
        major, minor = magic[len(NPY_MAGIC) :]
        version = (major, minor)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise ValueError(f"its .npy version {version} is unknown: save it again with numpy.savez")
        shape, _, dtype = read_header[version](stream)
        if dtype.hasobject:
            raise ValueError("it holds objects, which are pickled and never read: save plain arrays, and lengths")
        if not dtype.itemsize or math.prod(shape) * dtype.itemsize != size - stream.tell():
            raise ValueError(f"its header claims {dtype} {shape}, but {size - stream.tell()} bytes follow")
