"""Reading files: one way to fail, and sizes looked at before memory is taken."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

# No stream of deflate, the compression of gzip, zip and HDF5 files, is longer than this many times its compressed form.
LARGEST_INFLATION = 1032


class DamagedFileError(ValueError):
    """A file cannot be read: it is missing, damaged, or of another kind.

    Attributes
    ----------
    path : str or Path
    field : str
        The part of the file that is at fault, such as "certificate" or "tensor W".
    reason : str
        What is wrong with it, and what to do.
    """

    def __init__(self, path: str | Path, field: str, reason: str) -> None:
        super().__init__(path, field, reason)
        self.path, self.field, self.reason = path, field, reason

    def __str__(self) -> str:
        return f"{self.path} cannot be read: {self.field}: {self.reason}"


@contextmanager
def reading(path: str | Path, field: str) -> Iterator[None]:
    """Within it, whatever goes wrong is the fault of one field of a file, and becomes a `DamagedFileError`.

    What a file holds is anybody's: there is no telling which error it causes when objects are made of it.
    """
    try:
        yield
    except DamagedFileError:
        raise
    except Exception as error:
        raise DamagedFileError(path, field, _reason(error)) from error


def _reason(error: Exception) -> str:
    match error:
        case KeyError():
            return f"{error.args[0] if error.args else ''} is missing or unknown"
        case RecursionError():
            return "it is nested too deeply"
        case MemoryError():
            return "it needs more memory than there is"
        case OSError() if error.strerror:
            return error.strerror
        case _:
            return str(error) or type(error).__name__


def regular_size(path: str | Path) -> int:
    """The size of a regular file in bytes; `DamagedFileError` for what is none, such as a pipe, device or folder."""
    file = Path(path)
    if not file.exists():
        raise DamagedFileError(path, "file", "there is no such file")
    if not file.is_file():
        raise DamagedFileError(path, "file", "it is a folder, a device or a pipe: name a regular file")
    return file.stat().st_size


def read_whole(path: str | Path, limit: int) -> bytes:
    """The bytes of a regular file; `DamagedFileError` beyond `limit` bytes, before they are read."""
    size = regular_size(path)
    if size > limit:
        raise DamagedFileError(path, "size", f"it has {size} bytes, and at most {limit} are read")
    with reading(path, "file"):
        return Path(path).read_bytes()


def check_inflated(path: str | Path, field: str, claimed: int, stored: int) -> None:
    """`DamagedFileError` where `stored` bytes of a compressed file cannot be the `claimed` ones."""
    if claimed > LARGEST_INFLATION * (stored + 1):
        raise DamagedFileError(path, field, f"it claims {claimed} bytes, but only {stored} are stored")


def parse_json(text: str | bytes, path: str | Path, field: str) -> dict[str, Any]:
    """A JSON object of a file, read strictly: each key once, finite numbers, nothing else.

    Raises
    ------
    DamagedFileError
        When it is no JSON of the form asked for. The message names the file and the field.
    """
    with reading(path, field):
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)
        if not isinstance(value, dict):
            raise ValueError("it must be a JSON object")
    return value


def read_json(path: str | Path, limit: int = 1 << 28) -> dict[str, Any]:
    """The JSON object that a file holds, see `parse_json`."""
    return parse_json(read_whole(path, limit), path, "JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is beyond the range of float64")
    return number
