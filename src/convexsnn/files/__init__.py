"""Writing files and folders as a whole or not at all, and what a killed run leaves of that."""

from convexsnn.files.folder import check_replaceable, replace_folder, sweep
from convexsnn.files.interrupts import uninterrupted
from convexsnn.files.leftovers import discard
from convexsnn.files.single import write_atomically

__all__ = ["check_replaceable", "discard", "replace_folder", "sweep", "uninterrupted", "write_atomically"]
