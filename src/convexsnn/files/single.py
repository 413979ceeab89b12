"""One file, written as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

from convexsnn.files.interrupts import uninterrupted
from convexsnn.files.leftovers import NEW, beside, discard, left_of, locked, sync_names, write_synced


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` as a whole or not at all.

    Raises
    ------
    OSError
        When the file cannot be written; names it. The old file, if any, is then as it was.
    """
    target = Path(path)
    for left in left_of(target, NEW):
        discard(left)
    temporary = beside(target, NEW)
    try:
        with uninterrupted():
            try:
                temporary.touch(exist_ok=False)
                with locked(temporary):
                    write_synced(temporary, data)
                    temporary.replace(target)
            except BaseException:
                discard(temporary)
                raise
            sync_names(target.parent)
    except OSError as error:
        raise OSError(error.errno, f"could not write {target} ({error.strerror}); nothing was changed") from error
