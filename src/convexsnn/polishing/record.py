"""Running a module over a loader and recording what its readout reads; the module is left as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convexsnn.dictionary import Dictionary
from convexsnn.polishing.find import Parts
from convexsnn.polishing.pooling import Pooling
from convexsnn.polishing.storage import BitStore, RealStore, Store
from convexsnn.polishing.tape import RunModule, Tape, Watched, check_layers


class _NotBitsError(Exception):
    """The readout reads something other than zeros and ones."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """What the readout reads of every row, and the labels.

    Attributes
    ----------
    dictionary : Dictionary
        One "neuron" an input of the readout, and the constant one last where the readout has a bias.
    labels : Tensor
        One row a sequence, as the loader gives them.
    steps : int
        T.
    reads_spikes : bool
        Whether the readout reads zeros and ones.
    """

    dictionary: Dictionary
    labels: Tensor
    steps: int
    reads_spikes: bool


def record(
    module: nn.Module, parts: Parts, loader: Iterable[Any], pooling: Pooling, time: str, run: RunModule
) -> Recorded:
    """Two passes over `loader`: one counts rows and reads labels, one runs the module batch by batch.

    Raises
    ------
    ValueError
        When the loader is empty, can be read only once, or gives other labels or another first batch in the second
        pass; when the named layer does not spike, the readout does not give W x + b, the module answers differently to
        the same batch, or shapes are not as declared.
    """
    labels = _read_labels(loader)
    with as_it_was(module), torch.no_grad():
        module.eval()
        tape = Tape(parts, time, run, module)
        first = _check_first(tape, loader, labels)
        try:
            store, bits = _fill(BitStore, tape, loader, labels, first, pooling), True
        except _NotBitsError:
            store, bits = _fill(RealStore, tape, loader, labels, first, pooling), False
    return Recorded(store.dictionary(), labels, len(first), bits)


@contextmanager
def as_it_was(module: nn.Module) -> Iterator[None]:
    """Afterwards the module's modes, hidden states and buffers are what they were; parameters are not touched."""
    kept = [(part, _attributes(part)) for part in module.modules()]
    values = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for part, attributes in kept:
            part.__dict__.clear()
            part.__dict__.update(attributes)
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)


def _attributes(part: nn.Module) -> dict[str, Any]:
    """A module's attributes; dictionaries (buffers, memories) one level deep."""
    return {name: value.copy() if isinstance(value, dict) else value for name, value in part.__dict__.items()}


def _check_first(tape: Tape, loader: Iterable[Any], labels: Tensor) -> Tensor:
    """What the readout reads of the first batch, which is run twice."""
    x, y = split_batch(next(iter(loader)))
    if len(y) > len(labels) or not torch.equal(y, labels[: len(y)]):
        raise ValueError(f"{_CHANGES}: its labels differ. {_FIXED}")
    watched = Watched([], [])
    first = tape(x, len(y), watched)
    check_layers(tape.parts, watched)
    if not torch.equal(tape(x, len(y)), first):
        raise ValueError(
            "module reads the same batch differently the second time: it keeps state between batches, or is random. "
            "Pass run=, a function of module and batch that resets its state (or seeds it) and then calls it"
        )
    return first


_CHANGES = "loader changes between passes"
_FIXED = "Use a DataLoader with shuffle=False, and no random transforms"


def _fill(
    kind: type[BitStore] | type[RealStore],
    tape: Tape,
    loader: Iterable[Any],
    labels: Tensor,
    first: Tensor,
    pooling: Pooling,
) -> Store:
    readout, steps = tape.parts.readout, len(first)
    store = kind(len(labels), readout.in_features, steps, pooling, constant=readout.bias is not None)
    row = 0
    for batch in loader:
        x, y = split_batch(batch)
        if not torch.equal(labels[row : row + len(y)], y):
            raise ValueError(f"{_CHANGES}: its labels differ. {_FIXED}")
        values = tape(x, len(y))
        if row == 0 and not torch.equal(values, first):
            raise ValueError(f"{_CHANGES}: the readout reads other values of its first batch. {_FIXED}")
        if len(values) != steps and pooling.kind != "last":
            raise ValueError(f"loader gives batches of {steps} and {len(values)} steps: pad them to the same length")
        if kind is BitStore and not bool(((values == 0) | (values == 1)).all()):
            raise _NotBitsError
        if not bool(torch.isfinite(values).all()):
            raise ValueError("the readout reads NaN or infinity")
        store.add(values)
        row += len(y)
    if row != len(labels):
        raise ValueError(f"{_CHANGES}: it gave {len(labels)} rows, then {row}. {_FIXED}")
    return store


def _read_labels(loader: Iterable[Any]) -> Tensor:
    if not isinstance(loader, Iterable):
        raise TypeError(
            f"loader must give batches (x, y), such as a DataLoader; {type(loader).__name__} is not iterable"
        )
    if iter(loader) is loader:
        raise ValueError("loader can be read only once, and is needed twice: pass a DataLoader or a list of batches")
    labels = [split_batch(batch)[1] for batch in loader]
    if not labels or not sum(map(len, labels)):
        raise ValueError("loader is empty")
    if len({(y.dtype, y.shape[1:]) for y in labels}) > 1:
        raise ValueError("labels of all batches in loader must be of one dtype and shape")
    return torch.cat(labels)


def split_batch(batch: Any) -> tuple[Any, Tensor]:
    """Input and labels of a batch."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise ValueError(f"loader must give batches (x, y), got {type(batch).__name__}")
    x, y = batch
    labels = torch.as_tensor(np.asarray(y) if not isinstance(y, Tensor) else y).detach().cpu()
    if labels.ndim == 0:
        raise ValueError("labels in loader must have one row a sequence; got a single number: batch the data set")
    return x, labels
