"""Strict reader of IDX files, the format of MNIST and its relatives."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from convexsnn.reading import DamagedFileError, check_inflated, reading, regular_size

_UNSIGNED_BYTE = 0x08
_PIECE = 2**20


def find_idx(folder: str | Path, stem: str, ndim: int) -> Path:
    """The file ``<stem>-idx<ndim>-ubyte`` or ``<stem>.idx<ndim>-ubyte`` in `folder`, plain or with ``.gz`` added.

    Raises
    ------
    ValueError
        If the folder or the file is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"data_dir {folder} is not a folder")
    names = [f"{stem}{dot}idx{ndim}-ubyte{suffix}" for dot in "-." for suffix in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"data_dir {folder} lacks {names[0]} (or {', '.join(names[1:])})")


def read_idx(path: str | Path, ndim: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes with `ndim` dimensions.

    Parameters
    ----------
    path : str or Path
        Read as gzip if it ends in ``.gz``.
    ndim : int

    Returns
    -------
    uint8 array with `ndim` dimensions

    Raises
    ------
    DamagedFileError
        If the file cannot be read, is no IDX file, holds another type or number of dimensions, or is shorter or longer
        than its dimensions say.
    """
    path = Path(path)
    stored = regular_size(path)
    compressed = path.suffix == ".gz"
    with reading(path, "data"):
        try:
            with gzip.open(path, "rb") if compressed else path.open("rb") as stream:
                shape = _dimensions(stream, ndim, path)
                size = math.prod(shape)
                if compressed:
                    check_inflated(path, "dimensions", size, stored)
                elif size != stored - 4 - 4 * ndim:
                    raise _other_size(path, shape, f"{stored - 4 - 4 * ndim} bytes")
                data = _read(stream, size + 1)  # one byte more, to notice a file that goes on
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DamagedFileError(path, "gzip", f"{error}: it is damaged or cut short, fetch it again") from error
    if len(data) != size:
        raise _other_size(path, shape, f"only {len(data)}" if len(data) < size else "more")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _dimensions(stream: BufferedIOBase, ndim: int, path: Path) -> tuple[int, ...]:
    header = _read(stream, 4 + 4 * ndim)
    expected = bytes((0, 0, _UNSIGNED_BYTE, ndim))
    if header[:4] != expected:
        found = header[:4].hex() or "(none)"
        reason = f"it begins with bytes {found}, not {expected.hex()}: it is not an IDX file of unsigned bytes"
        raise DamagedFileError(path, "header", f"{reason} with {ndim} dimension(s)")
    if len(header) < 4 + 4 * ndim:
        raise DamagedFileError(path, "header", "the file ends within it: fetch it again")
    return struct.unpack(f">{ndim}I", header[4:])


def _other_size(path: Path, shape: tuple[int, ...], found: str) -> DamagedFileError:
    reason = f"{shape} should have {math.prod(shape)} bytes of data, but the file holds {found}: fetch it again"
    return DamagedFileError(path, "dimensions", reason)


def _read(stream: BufferedIOBase, size: int) -> bytes:
    """Up to `size` bytes, piece by piece, so that no more memory is taken than there are bytes."""
    pieces, left = [], size
    while left and (piece := stream.read(min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
