"""Calls into compiled code that Ctrl-C does not wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def interruptibly(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """`call(*arguments, **options)` in a thread of its own: Ctrl-C raises at once, and what it computes is lost.

    The thread itself ends when the call does; it does not keep the process alive.
    """
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = call(*arguments, **options)
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)  # a join without end cannot be interrupted everywhere
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]
