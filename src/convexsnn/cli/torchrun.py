"""Commands that torchrun starts as several processes: they work together, one of them speaks, and all fail together.

Nothing here needs torch before `joined` and `first_to_say` are called.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from convexsnn.cli import INTERRUPTED, output

if TYPE_CHECKING:
    from convexsnn.ranks import Ranks

# The commands whose work is spread over processes.
SPREAD = ("fit", "verify")
STOPPED = (
    "the processes were stopped, or one of them was lost. Files are written as a whole or not at all, so the same "
    "command can be run again"
)


def launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def speaks() -> bool:
    """Whether this process prints results and warnings: one alone does, and the first of several."""
    return not launched() or os.environ["RANK"] == "0"


def check_command(arguments: Sequence[str]) -> None:
    """Raise ValueError where torchrun started a command whose work is not spread over processes."""
    command = next((word for word in arguments if not word.startswith("-")), None)
    if launched() and command is not None and command not in SPREAD:
        known = " and ".join(SPREAD)
        raise ValueError(f"convexsnn {command} is the work of one process: start it without torchrun ({known} use it)")


def first_to_say() -> bool:
    """Whether no other process of this command has said yet why it failed; from now on one has."""
    if not launched():
        return True
    from datetime import timedelta

    from torch.distributed import TCPStore  # type: ignore[reportPrivateImportUsage] - documented all the same

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        return TCPStore(address, port, is_master=False, timeout=timedelta(seconds=10)).add("convexsnn/failed", 1) == 1
    except RuntimeError:  # torchrun is gone
        return speaks()


@contextlib.contextmanager
def joined() -> Iterator[Ranks | None]:
    """The processes that torchrun started, all of which make this call; None where it did not.

    When a signal stops them, one says so, and nothing is tidied up: files are always whole.
    """
    if not launched():
        yield None
        return
    import torch.distributed as dist

    from convexsnn.ranks import LostRankError, ProcessGroup, wait

    # Python cannot answer a signal while it waits here for the others. So one ends the process at once.
    _on_stopping(signal.SIG_DFL)
    dist.init_process_group("gloo")
    _on_stopping(_stop)
    try:
        yield ProcessGroup()
        wait(ProcessGroup())  # none ends before all have done their work
    except LostRankError as error:
        raise LostRankError(STOPPED) from error
    dist.destroy_process_group()


def _on_stopping(action: Callable[[int, object], None] | signal.Handlers) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, action)


def _stop(number: int, _: object) -> None:
    if first_to_say():
        output.say(STOPPED, head="error:", style="bold red", to=output.stderr)
    os._exit(INTERRUPTED if number == signal.SIGINT else 128 + number)
