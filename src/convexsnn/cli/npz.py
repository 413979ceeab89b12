"""Reading .npz files: plain arrays, none of which is unpickled, and none larger than what is stored."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

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
        raise DamagedFileError(path, "file", f"it is not an .npz file: {_made_of(path)}")
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


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, name: str) -> np.ndarray:
    """One member; what its header claims is held against what is stored before any memory is taken."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is compressed in a way that numpy does not use: save it with numpy.savez")
    check_inflated(path, f"array {name}", member.file_size, member.compress_size)
    with archive.open(member) as stream:
        if stream.read(len(NPY_MAGIC)) != NPY_MAGIC:
            raise ValueError("it is no array (.npy) but something else, such as a pickle, which is never read")
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise ValueError(f"its .npy version {version} is unknown: save it again with numpy.savez")
        shape, _, dtype = read_header[version](stream)
        if dtype.hasobject:
            raise ValueError("it holds objects, which are pickled and never read: save plain arrays, and lengths")
        if not dtype.itemsize or math.prod(shape) * dtype.itemsize != member.file_size - stream.tell():
            raise ValueError(f"its header claims {dtype} {shape}, but {member.file_size - stream.tell()} bytes follow")
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _made_of(path: Path) -> str:
    """What to do with a file of another format."""
    save = "save it with numpy.savez(FILE, X=X, y=y)"
    match path.suffix.lower():
        case ".csv" | ".tsv" | ".txt":
            return f"read its table, for example with pandas, and {save}, X of shape (n, T, d) or (n, d)"
        case ".ts" | ".arff":
            return f"read it with aeon.datasets, which gives (n, d, T), transpose it to (n, T, d), and {save}"
        case ".npy":
            return f"it holds a single array; {save}"
        case _:
            return save
