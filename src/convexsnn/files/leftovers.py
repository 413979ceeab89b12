"""Unfinished work beside its target: its names, the lock of the process that does it, and what a killed one left."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # without such locks, what may still be in use is never swept
    fcntl = None

# Names are a dot, the target's name, one of these and eight random digits.
NEW, OLD = ".convexsnn-new-", ".convexsnn-old-"


def beside(target: Path, kind: str) -> Path:
    """A name for unfinished work on a target, in the same folder and so on the same file system."""
    return target.with_name(f".{target.name}{kind}{secrets.token_hex(4)}")


def left_of(target: Path, kind: str) -> list[Path]:
    """Unfinished work on a target that no living process has a hand in."""
    return left_in(target.parent, f".{target.name}{kind}")


def left_in(folder: Path, prefix: str) -> list[Path]:
    """What killed runs left in a folder: paths whose names begin with `prefix` and that nobody uses."""
    try:
        return [path for path in folder.iterdir() if path.name.startswith(prefix) and not _in_use(path)]
    except OSError:
        return []


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Unfinished work is in use while the block lasts, and no longer when its process is killed."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def discard(path: Path) -> None:
    """Remove a file or a folder; what cannot be removed stays for the next sweep."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def write_synced(path: Path, data: bytes) -> None:
    """Write a file, to the disk itself."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_names(folder: Path) -> None:
    """Write the names of a folder to the disk itself, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _in_use(path: Path) -> bool:
    if fcntl is None:
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
