"""A disk on which the k-th file operation fails, or after which the process is gone; counts those below one folder."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import convexsnn.files.folder
import convexsnn.files.leftovers

KILLED = 137
CALLS = ("rename", "replace", "mkdir", "rmdir", "unlink", "chmod", "fsync", "open")
# How a point fails: the process is killed before it, in the midst of it (half of a write) or after it; it fails once
# with an error; from there on there is no space; or Ctrl-C is pressed.
WAYS = ("killed before", "killed within", "killed after", "fails once", "disk full", "interrupted")
NEEDS_SPACE = ("open", "write", "fsync", "mkdir")


class FailingDisk:
    """Counts file operations below a folder; the one numbered `point` fails in the given way."""

    def __init__(self, folder: Path, point: int | None = None, way: str = "killed before") -> None:
        self.folder, self.point, self.way = str(folder.resolve()), point, way
        self.names: list[str] = []

    def operate(self, name: str, call: Any, *arguments: Any, paths: tuple = (), half: Any = None, **named: Any) -> Any:
        """Make the system call, or fail."""
        if not any(str(os.fspath(path)).startswith(self.folder) for path in paths):
            return call(*arguments, **named)
        self.names.append(name)
        number = len(self.names) - 1
        due = self.point is not None and (number >= self.point if self.way == "disk full" else number == self.point)
        if due and self.way == "disk full" and name in NEEDS_SPACE:
            if half is not None:
                half()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if due and self.way == "fails once":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if due and self.way == "killed before":
            os._exit(KILLED)
        if due and self.way == "interrupted":
            signal.raise_signal(signal.SIGINT)
        if due and self.way == "killed within" and half is not None:
            half()
            os._exit(KILLED)
        result = call(*arguments, **named)
        if due and self.way in ("killed within", "killed after"):
            os._exit(KILLED)
        return result


class _Watched:
    """A file open for writing whose writes are counted."""

    def __init__(self, file: Any, path: Path, disk: FailingDisk) -> None:
        self.file, self.path, self.disk = file, path, disk

    def write(self, data: bytes) -> int:
        def half() -> None:
            self.file.write(data[: len(data) // 2])
            self.file.flush()

        return self.disk.operate("write", self.file.write, data, paths=(self.path,), half=half)

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@contextlib.contextmanager
def installed(disk: FailingDisk) -> Iterator[FailingDisk]:
    """While the block lasts, all that writes goes through the disk."""
    calls = {name: getattr(os, name) for name in CALLS}
    path_open, swap = Path.open, convexsnn.files.folder.exchange

    def by_path(name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            paths = [path for path in arguments if isinstance(path, (str, os.PathLike))]
            if (directory := named.get("dir_fd")) is not None:
                paths = [os.path.join(os.readlink(f"/proc/self/fd/{directory}"), path) for path in paths]
            return disk.operate(name, calls[name], *arguments, paths=tuple(paths), **named)

        return call

    def create(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if not flags & os.O_CREAT:
            return calls["open"](path, flags, *arguments, **named)
        return disk.operate("open", calls["open"], path, flags, *arguments, paths=(path,), **named)

    def fsync(descriptor: int) -> None:
        disk.operate("fsync", calls["fsync"], descriptor, paths=(os.readlink(f"/proc/self/fd/{descriptor}"),))

    def opened(self: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if "r" in mode:
            return path_open(self, mode, *arguments, **named)
        file = disk.operate("open", path_open, self, mode, *arguments, paths=(self,), **named)
        return _Watched(file, self, disk)

    def exchange(one: Path, other: Path) -> bool:
        return disk.operate("exchange", swap, one, other, paths=(one,))

    try:
        for name in calls:
            setattr(os, name, {"fsync": fsync, "open": create}.get(name) or by_path(name))
        Path.open, convexsnn.files.folder.exchange = opened, exchange
        yield disk
    finally:
        for name, call in calls.items():
            setattr(os, name, call)
        Path.open, convexsnn.files.folder.exchange = path_open, swap
