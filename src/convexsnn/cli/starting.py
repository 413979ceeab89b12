"""From words to work: what is set before torch is loaded, and what Ctrl-C does while it is."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from convexsnn.cli import end_at_once
from convexsnn.threads import quiet_environment


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """For the imports that a command's work needs: torch and others, which take seconds.

    Threads are to wait without spinning, where the environment does not say how. Ctrl-C ends the process at once:
    nothing is lost yet, and libraries would turn it into errors of their own. After the block it is an exception.
    """
    for name, value in quiet_environment(os.environ).items():
        os.environ.setdefault(name, value)
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
        yield
        return
    signal.signal(signal.SIGINT, end_at_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler if before is end_at_once else before)
