"""Strict reader of IDX files, the format of MNIST and its relatives."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np

_UNSIGNED_BYTE = 0x08


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
    ValueError
        If the file cannot be read, is no IDX file, holds another type or number of dimensions, or is shorter or longer
        than its dimensions say.
    """
    path = Path(path)
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            return _parse(stream, ndim, path)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"cannot read {path}: {error}; it may be damaged or cut short, fetch it again") from error


def _parse(stream: BufferedIOBase, ndim: int, path: Path) -> np.ndarray:
    header = stream.read(4 + 4 * ndim)
    expected = bytes((0, 0, _UNSIGNED_BYTE, ndim))
    if header[:4] != expected:
        raise ValueError(
            f"{path} starts with bytes {header[:4].hex() or '(none)'}, not {expected.hex()}: it is not an IDX file of "
            f"unsigned bytes with {ndim} dimension(s)"
        )
    if len(header) < 4 + 4 * ndim:
        raise ValueError(f"{path} ends within its header; fetch it again")
    shape = struct.unpack(f">{ndim}I", header[4:])
    size = math.prod(shape)
    # One byte more than there should be, to notice a file that goes on.
    data = stream.read(size + 1)
    if len(data) != size:
        found = f"only {len(data)}" if len(data) < size else "more"
        raise ValueError(
            f"{path} should hold {size} bytes for its dimensions {shape}, but holds {found}; fetch it again"
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)
