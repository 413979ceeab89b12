"""Running a module over a loader, and recording what its readout reads and what it answers itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from convexsnn.dictionary import Dictionary
from convexsnn.observer import Observer
from convexsnn.polishing.batches import CHANGES, FIXED, Labels, Rows, ShownBatch, same_batches
from convexsnn.polishing.context import as_it_was
from convexsnn.polishing.head import OutputMap
from convexsnn.polishing.output import own_output
from convexsnn.polishing.pooling import Pooling
from convexsnn.polishing.probe import OutputReading, find_reading, rounding
from convexsnn.polishing.storage import BitStore, RealStore, Store
from convexsnn.polishing.tape import Heard, Tape, check_layers


class _NotBitsError(Exception):
    """The readout reads something other than zeros and ones."""


@dataclass(frozen=True)
class Showing:
    """How a module is shown a loader: the same for every pass.

    Attributes
    ----------
    tape : Tape
    rows : Rows
    pooling : Pooling
    observer : Observer
        Who is told how far the work is.
    """

    tape: Tape
    rows: Rows
    pooling: Pooling
    observer: Observer = field(default_factory=Observer)

    @contextmanager
    def still(self) -> Iterator[None]:
        """The module in eval mode, and afterwards as it was."""
        with as_it_was(self.tape.module):
            self.tape.module.eval()
            yield


@dataclass(frozen=True, eq=False)
class Recorded:
    """What the readout reads of every row, and what the module answers.

    Attributes
    ----------
    dictionary : Dictionary
        One "neuron" an input of the readout, and the constant one last where the readout has a bias.
    own : float64 tensor of shape (rows, C_out)
        The module's own outputs.
    steps : int
        The number T of steps of a sequence.
    reads_spikes : bool
        Whether the readout reads zeros and ones.
    """

    dictionary: Dictionary
    own: Tensor
    steps: int
    reads_spikes: bool


@dataclass(frozen=True)
class Listened:
    """What the first batch told.

    Attributes
    ----------
    heard : Heard
    reading : OutputReading
    eps : float
        The rounding unit of the coarsest arithmetic in which the module computes.
    """

    heard: Heard
    reading: OutputReading
    eps: float


def listen(setup: Showing, loader: Iterable[Any], labels: Labels, head: OutputMap | None, *, shifts: bool) -> Listened:
    """Run the first batch several times: what is read, and what the module makes of the readout.

    Raises
    ------
    ValueError
        When the loader changes between passes, or the module answers differently to the same batch. When the named
        layer does not spike, the readout does not give W x + b, shapes are not as declared, or the module's output is
        not that of the readout.
    """
    tape, pooling = setup.tape, setup.pooling
    with setup.still():
        batch = setup.rows.read(next(iter(loader)))
        if not torch.equal(batch.labels, labels.values[: len(batch.labels)]):
            raise ValueError(f"{CHANGES}: its labels differ. {FIXED}")
        first = tape(batch.x, batch.n)
        check_layers(tape.parts, first)
        again = tape(batch.x, batch.n)
        if not torch.equal(again.read, first.read) or not torch.equal(
            own_output(tape, again, pooling, batch.lengths), own_output(tape, first, pooling, batch.lengths)
        ):
            raise ValueError(
                "module reads the same batch differently the second time: it keeps state between batches, or is "
                "random. Pass run=, a function of module and batch that resets its state (or seeds it), calls it and "
                "returns its output"
            )
        reading = find_reading(tape, batch, first, pooling, head, shifts=shifts)
        return Listened(first, reading, rounding(first))


def record(setup: Showing, loader: Iterable[Any], labels: Labels, listened: Listened) -> Recorded:
    """One pass over `loader` (two where the readout does not read spikes) that runs the module batch by batch.

    Raises
    ------
    ValueError
        When the loader gives other labels or another first batch than before, or NaN is read.
    """
    setup.observer.begin("record what the readout reads")
    with setup.still():
        try:
            store, own = _fill(BitStore, setup, loader, labels, listened)
            bits = True
        except _NotBitsError:
            store, own = _fill(RealStore, setup, loader, labels, listened)
            bits = False
    return Recorded(store.dictionary(), own, len(listened.heard.read), bits)


def answers(setup: Showing, loader: Iterable[Any], labels: Labels, how: str) -> Tensor:
    """The module's own outputs (rows, C_out) on a loader, with the weights that it now has."""
    with setup.still():
        return torch.cat([_own(setup, batch, how)[1] for batch in same_batches(loader, setup.rows, labels)])


def _own(setup: Showing, batch: ShownBatch, how: str) -> tuple[Heard, Tensor]:
    heard = setup.tape(batch.x, batch.n)
    return heard, own_output(setup.tape, heard, setup.pooling, batch.lengths, how)[batch.keep]


def _fill(
    kind: type[BitStore] | type[RealStore], setup: Showing, loader: Iterable[Any], labels: Labels, listened: Listened
) -> tuple[Store, Tensor]:
    readout, steps, pooling = setup.tape.parts.readout, len(listened.heard.read), setup.pooling
    store = kind(len(labels.values), readout.in_features, steps, pooling, constant=readout.bias is not None)
    own: list[Tensor] = []
    for batch in same_batches(loader, setup.rows, labels):
        heard, outputs = _own(setup, batch, listened.reading.how)
        values = heard.read
        if not own and not torch.equal(values, listened.heard.read):
            raise ValueError(f"{CHANGES}: the readout reads other values of its first batch. {FIXED}")
        if len(values) != steps and pooling.kind != "last":
            raise ValueError(f"loader gives batches of {steps} and {len(values)} steps: pad them to the same length")
        averages = pooling.kind == "mean" and batch.lengths is not None  # no count, as each row has its own divisor
        if kind is BitStore and (averages or not bool(((values == 0) | (values == 1)).all())):
            raise _NotBitsError
        if not bool(torch.isfinite(values).all()):
            raise ValueError("the readout reads NaN or infinity")
        store.add(values, batch.lengths, batch.keep)
        own.append(outputs)
        setup.observer.simulate(sum(map(len, own)), len(labels.values))
    return store, torch.cat(own)
