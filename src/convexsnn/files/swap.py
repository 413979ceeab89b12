"""The names of two folders exchanged in one step, which Python has no call for."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

# AT_FDCWD and RENAME_EXCHANGE of Linux's renameat2; RENAME_SWAP of macOS's renamex_np.
HERE, EXCHANGE, SWAP = -100, 2, 2
UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders; whether the system and its file system can. Raises OSError on other errors."""
    call = _system_call()
    if call is None:
        return False
    if call(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    code = ctypes.get_errno()
    if code in UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _system_call() -> Callable[[bytes, bytes], int] | None:
    if sys.platform not in ("linux", "darwin"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        swap = getattr(library, "renamex_np", None)
        return swap and (lambda one, other: swap(one, other, SWAP))
    rename = getattr(library, "renameat2", None)
    return rename and (lambda one, other: rename(HERE, one, HERE, other, EXCHANGE))
