"""Compiled code that is kept on disk, where there is a place for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

# Vectors, which compiled code of any folder may use.
LANES = Path(__file__).with_name("lanes.py")


def cached(function: Callable) -> Any:
    """Compile a function at its first call, and keep what was compiled beside its file or in the user's own cache.

    Where neither can be written to, it is compiled anew by each process. What was kept is used as long as no file of
    the function's folder has changed, nor `lanes`. So compiled code may call these, and nothing else of ours.
    """
    # Numba looks at the function's own file alone, and does not see that what it calls has changed.
    function.__qualname__ += f"_{_digest(Path(function.__code__.co_filename).parent)}"
    compiled: Any = njit(nogil=True)(function)
    with suppress(RuntimeError):  # no place to write to
        compiled.enable_caching()
    return compiled


@cache
def _digest(folder: Path) -> str:
    """The first digits of the SHA-256 of all sources of a folder, and of `lanes`."""
    found = hashlib.sha256()
    for path in [*sorted(folder.glob("*.py")), LANES]:
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]
