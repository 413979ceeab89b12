"""The command line ``convexsnn``: fit, predict, verify, tasks."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point. Exit status: 0 success, 1 a certificate that does not hold, 2 bad input."""
    try:
        from convexsnn.cli.app import run
    except KeyboardInterrupt:
        sys.exit(130)  # while the libraries were still loading
    except ModuleNotFoundError as error:
        if error.name not in ("cyclopts", "rich"):
            raise
        sys.exit(f"the command line needs the package {error.name}: pip install 'convexsnn[cli]'")
    sys.exit(run())
