"""Columns that are kept while they are made, block of rows by block, so that a killed fit need not make them again."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from convexsnn.checkpoints import read_checkpoint, resuming, write_checkpoint
from convexsnn.checks import check_names
from convexsnn.reading import reading

# The kind of the files, and the version of their form.
KIND = "columns 1"
# A block is written when it has so many bytes, or when making it took so many seconds and this share of all the time.
BLOCK_BYTES, SECONDS, SHARE = 2**25, 1.0, 0.05


@dataclass(eq=False)
class Making:
    """Columns of which the first rows are made.

    Attributes
    ----------
    stored : uint8 tensor of shape (P_last, bytes), or float64 tensor of shape (P_last, rows)
        A row a neuron of the last layers. A byte has eight rows of the columns.
    rows : slice
        Which rows of all these are; the first is a multiple of 8.
    fired : bool tensor of shape (branches,)
        Branches in which any neuron has fired.
    margin : float
        The smallest distance |v - theta| so far.
    done : int
        The numbers, or the whole bytes, of each column that are made.
    """

    stored: Tensor
    rows: slice
    fired: Tensor
    margin: float = float("inf")
    done: int = 0

    @property
    def per_unit(self) -> int:
        """Rows in a number or a byte."""
        return 8 if self.stored.dtype == torch.uint8 else 1

    @property
    def reached(self) -> int:
        """The first of all rows that is not made."""
        return min(self.rows.stop, self.rows.start + self.done * self.per_unit)

    def note(self, fired: Tensor, margin: float) -> None:
        """Take in what was noted of further rows."""
        self.fired |= fired.to(self.fired.device)
        self.margin = min(self.margin, margin)


@dataclass(frozen=True)
class ColumnBlocks:
    """A folder with the columns that hidden layers give on sequences, as far as they are made.

    Each file is a sealed block of rows. Which rows it has does not depend on the processes that share the work, so
    another number of them may go on.

    Attributes
    ----------
    folder : path
        It is made when there is a block to write. All processes must see it.
    of : str
        Digest of all that columns depend on. Blocks of other columns in the folder are left alone.
    """

    folder: Path
    of: str

    def take_up(self, making: Making) -> None:
        """Fill in what the folder holds of the rows of `making`, from the first one on without a gap.

        Raises
        ------
        DamagedFileError
            When a block is damaged; says what to do.
        """
        blocks = self._found()
        while making.reached < making.rows.stop:
            at = making.reached
            here = [(start, stop) for start, stop in blocks if start <= at < stop]
            if not here:
                return
            start, stop = max(here, key=lambda block: block[1])
            columns = self._read(start, stop, making)[:, (at - start) // making.per_unit :]
            end = min(making.done + columns.shape[1], making.stored.shape[1])
            making.stored[:, making.done : end] = columns[:, : end - making.done]
            making.done = end

    def keeper(self, making: Making) -> Keeper:
        """What writes a block now and then, while more rows are made."""
        return Keeper(self, making, making.done)

    def write(self, making: Making, first: int) -> None:
        """Write the columns from byte or number `first` on, as far as they are made. Raises OSError."""
        start, stop = making.rows.start + first * making.per_unit, making.reached
        columns = making.stored[:, first : making.done]
        notes = {"fired": making.fired, "margin": torch.tensor(making.margin, dtype=torch.float64)}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_checkpoint(self._path(start, stop), KIND, self.of, {"rows": [start, stop]}, {"columns": columns, **notes})

    def _read(self, start: int, stop: int, making: Making) -> Tensor:
        """The columns of a block, whose notes are taken in."""
        path = self._path(start, stop)
        with resuming():
            state, tensors = read_checkpoint(path, KIND, self.of)
            with reading(path, "tensors"):
                check_names("a block of columns", tensors, ("columns", "fired", "margin"))
                columns, shape = tensors["columns"], (len(making.stored), -(-(stop - start) // making.per_unit))
                if state != {"rows": [start, stop]} or columns.dtype != making.stored.dtype or columns.shape != shape:
                    raise ValueError(f"it must hold rows {start} to {stop} of {shape[0]} neurons, and does not")
                making.note(tensors["fired"], float(tensors["margin"]))
        return columns

    def _path(self, start: int, stop: int) -> Path:
        return self.folder / f"{self.of[:16]}-{start}-{stop}.safetensors"

    def _found(self) -> list[tuple[int, int]]:
        """First and last row, exclusively, of the blocks in the folder."""
        if not self.folder.is_dir():
            return []
        name = re.compile(rf"{self.of[:16]}-(\d+)-(\d+)\.safetensors")
        found = (name.fullmatch(path.name) for path in self.folder.iterdir())
        return [(int(match[1]), int(match[2])) for match in found if match]


@dataclass(eq=False)
class Keeper:
    """When blocks are written: `saved` bytes or numbers of each column are already."""

    blocks: ColumnBlocks
    making: Making
    saved: int
    begun: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)

    def offer(self) -> None:
        """More rows are made: write a block where it is worth it."""
        now, size = time.monotonic(), self.making.stored[:, self.saved : self.making.done].nbytes
        if size >= BLOCK_BYTES or now - self.last >= max(SECONDS, SHARE * (now - self.begun)):
            self._write()

    def finish(self) -> None:
        """All rows are made: write the rest, where making all took long enough."""
        if time.monotonic() - self.begun >= SECONDS:
            self._write()

    def _write(self) -> None:
        if self.making.done > self.saved:
            self.blocks.write(self.making, self.saved)
            self.saved, self.last = self.making.done, time.monotonic()
