"""The command line ``convexsnn``: what happens before any library is loaded, and after all is done.

Nothing is imported here but what Python has loaded already: Ctrl-C in an import that is not within `main` would show
its traceback.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from typing import NoReturn

# As shells have it: 128 + SIGINT.
INTERRUPTED = 130


def main() -> None:
    """Entry point. Exit status: 0 success, 1 a certificate that does not hold, 2 bad input, 130 Ctrl-C."""
    try:
        import signal

        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in a background job of a shell, which stays so
            signal.signal(signal.SIGINT, end_at_once)
    except KeyboardInterrupt:
        end_at_once()
    try:
        from convexsnn.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("cyclopts", "rich"):
            raise
        sys.exit(f"the command line needs the package {error.name}: pip install 'convexsnn[cli]'")
    status = run()
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, end_at_once)
    sys.exit(status)


def end_at_once(*_: object) -> NoReturn:
    """What Ctrl-C does while nothing is being done that could be kept: libraries are loading, or all is written."""
    os._exit(INTERRUPTED)
