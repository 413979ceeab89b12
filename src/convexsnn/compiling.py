"""Compiled code that is kept on disk, where there is a place for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numba import njit


def cached(function: Callable) -> Any:
    """Compile a function at its first call, and keep what was compiled beside its file or in the user's own cache.

    Where neither can be written to, it is compiled anew by each process. What was kept is taken as long as the file of
    `function` is the same.
    """
    compiled: Any = njit(nogil=True)(function)
    with suppress(RuntimeError):  # no place to write to
        compiled.enable_caching()
    return compiled
