"""A folder that changes as a whole: its new contents are written beside it, and the two names are exchanged.

So at every moment the folder is the old one or the new one. Only where the system cannot exchange names is the old
one renamed first; after a kill between these two renames, `sweep` puts it back.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from convexsnn.files.interrupts import uninterrupted
from convexsnn.files.leftovers import NEW, OLD, beside, discard, left_in, left_of, locked, sync_names, write_synced
from convexsnn.files.swap import exchange

TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


def replace_folder(folder: str | Path, files: Mapping[str, bytes], owned: Collection[str]) -> None:
    """Make a folder hold exactly `files` of the names in `owned`, as a whole or not at all; all else in it stays.

    Parameters
    ----------
    folder : path
        It is made, with its parents, where it is not there.
    files : mapping of str to bytes
        Contents by name.
    owned : collection of str
        Names that belong together, those of `files` among them. The others are not in the folder afterwards.

    Raises
    ------
    OSError
        When the files cannot be written. The folder is then as it was.
    """
    target = Path(folder).resolve()
    sweep(target, owned)
    stage = beside(target, NEW)
    with uninterrupted():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            stage.mkdir()
            with locked(stage):
                _fill(stage, files, target)
                replaced = _put_in_place(stage, target)
        except OSError as error:
            discard(stage)
            raise OSError(error.errno, f"could not write {folder} ({error.strerror}); nothing was changed") from error
        if replaced is not None:
            try:
                _clear(replaced, target, owned)
            except OSError as error:
                reason = f"{folder} is written, but what else was in it is now in {replaced} ({error.strerror})"
                raise OSError(error.errno, f"{reason}; the next command tries to put it back") from error
        sync_names(target.parent)


def check_replaceable(folder: str | Path) -> None:
    """Raise ValueError where `replace_folder` could not put another folder in the place of this one.

    The system refuses where the parent cannot be written, and where a volume is mounted on the folder. The folder of
    this process stays too, as the shell it was started from would be left in a folder that is gone.
    """
    target = Path(folder).resolve()
    if target.exists() and not target.is_dir():
        raise ValueError(f"{folder} is a file: name a folder")
    if target in (Path.cwd(), *Path.cwd().parents):
        raise ValueError(f"{folder} is the folder you are in, or above it: name a folder within it, as {folder}/model")
    above = next(path for path in target.parents if path.exists())
    if not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(f"{folder} cannot be written, as {above} is not writable: name another folder")
    if target.exists():
        _check_movable(target, folder)


def sweep(folder: str | Path, owned: Collection[str]) -> None:
    """Finish or remove what killed runs left of a folder with these `owned` names, and of files in it.

    What cannot be moved or removed stays where it is, beside the folder: the folder is whole with it and without.
    """
    target = Path(folder).resolve()
    for left in left_of(target, OLD):
        if not target.exists():
            left.rename(target)  # the kill fell between two renames
    for left in (*left_of(target, OLD), *left_of(target, NEW)):
        try:
            _clear(left, target, owned)
        except OSError:
            continue
    for left in left_in(target, "."):
        if NEW in left.name:
            discard(left)


def _fill(stage: Path, files: Mapping[str, bytes], target: Path) -> None:
    if target.exists():
        shutil.copymode(target, stage)
    for name, data in files.items():
        write_synced(stage / name, data)
    sync_names(stage)


def _put_in_place(stage: Path, target: Path) -> Path | None:
    """Make `stage` the target; returns where the folder is now whose place it took, None where there was none."""
    try:
        stage.rename(target)
        return None
    except OSError as error:
        if error.errno not in TAKEN:
            raise
    if exchange(stage, target):
        return stage
    old = beside(target, OLD)
    with locked(target):
        target.rename(old)
        try:
            stage.rename(target)
        except OSError:
            old.rename(target)
            raise
    return old


def _clear(replaced: Path, target: Path, owned: Collection[str]) -> None:
    """Bring back from a replaced folder what is not `owned`, and remove the folder."""
    if replaced.is_dir():
        for entry in list(replaced.iterdir()):
            if entry.name in owned:
                continue
            place = target / entry.name
            if os.path.lexists(place):
                raise OSError(errno.EEXIST, f"{place} is there already")
            entry.rename(place)
    discard(replaced)


def _check_movable(target: Path, named: str | Path) -> None:
    """Raise ValueError when the system would not rename another folder to `target`: an empty one shows it."""
    probe = beside(target, NEW)
    try:
        probe.mkdir()
        shutil.copymode(target, probe)
        probe.rename(target)  # of an empty folder this makes another empty one
    except OSError as error:
        if error.errno not in TAKEN:
            reason = f"{named} cannot be replaced as a whole ({error.strerror})"
            raise ValueError(f"{reason}: name a folder within it, as {named}/model") from error
    finally:
        discard(probe)
