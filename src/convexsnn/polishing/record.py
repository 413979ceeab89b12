"""Running a module over a loader and recording what its readout reads; the module is left as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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

TIMES = ("steps", "first", "batch")
Run = Callable[[nn.Module, Tensor], Any]


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


def record(module: nn.Module, parts: Parts, loader: Iterable[Any], pooling: Pooling, time: str, run: Run) -> Recorded:
    """Two passes over `loader`: one counts rows and reads labels, one runs the module batch by batch.

    Raises
    ------
    ValueError
        When the loader is empty, can be read only once, or gives other labels in the second pass; when the named layer
        does not spike, the module answers differently to the same batch, or shapes are not as declared.
    """
    labels = _read_labels(loader)
    with as_it_was(module), torch.no_grad():
        module.eval()
        tape = _Tape(parts, time, run, module)
        steps = _check_first(tape, loader, labels)
        try:
            store, bits = _fill(BitStore, tape, loader, labels, steps, pooling), True
        except _NotBitsError:
            store, bits = _fill(RealStore, tape, loader, labels, steps, pooling), False
    return Recorded(store.dictionary(), labels, steps, bits)


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


class _Tape:
    """Runs the module on a batch and gives what its readout read, (T, n, F)."""

    def __init__(self, parts: Parts, time: str, run: Run, module: nn.Module) -> None:
        self.parts, self.time, self.run, self.module = parts, time, run, module

    def __call__(self, x: Any, rows: int, watched: list[Any] | None = None) -> Tensor:
        heard: list[Tensor] = []
        hooks = [self.parts.readout.register_forward_pre_hook(lambda _, given: heard.append(given[0].detach()))]
        if watched is not None:
            hooks.append(self.parts.spikes.register_forward_hook(lambda _, __, out: watched.append(out)))
        weight = self.parts.readout.weight
        try:
            self.run(self.module, x.to(weight.device) if isinstance(x, Tensor) else x)
        finally:
            for hook in hooks:
                hook.remove()
        if not heard:
            raise ValueError(f"readout {self.parts.readout_name!r} was not called when the module ran")
        return self._over_time(heard, rows)

    def _over_time(self, heard: list[Tensor], rows: int) -> Tensor:
        shapes = {tuple(given.shape) for given in heard}
        seen = f"readout {self.parts.readout_name!r} was called {len(heard)} times, with inputs of shape {shapes}"
        declared = f"{seen}; the batch has {rows} labels and time={self.time!r} was declared"
        if len(shapes) != 1:
            raise ValueError(f"{seen}: they must be alike")
        if self.time == "steps":
            if heard[0].ndim != 2 or len(heard[0]) != rows:
                raise ValueError(f"{declared}: expected one call a step with inputs (n, F)")
            return torch.stack(heard)
        if len(heard) != 1:
            raise ValueError(f"{declared}: expected one call a batch (time='steps' is for one a step)")
        given = heard[0]
        if given.ndim == 2 and self.time == "first" and len(given) % rows == 0:
            given = given.unflatten(0, (-1, rows))  # time and batch flattened together, time first
        if given.ndim == 3 and self.time == "batch":
            given = given.transpose(0, 1)
        if given.ndim != 3 or given.shape[1] != rows:
            wanted = "(T, n, F)" if self.time == "first" else "(n, T, F)"
            raise ValueError(f"{declared}: expected an input {wanted}")
        return given


def _check_first(tape: _Tape, loader: Iterable[Any], labels: Tensor) -> int:
    """T, from the first batch, which is run twice."""
    x, y = split_batch(next(iter(loader)))
    if len(y) > len(labels) or not torch.equal(y, labels[: len(y)]):
        raise ValueError(_CHANGES)
    watched: list[Any] = []
    first = tape(x, len(y), watched)
    name = tape.parts.spikes_name
    if not watched:
        raise ValueError(f"spiking layer {name!r} was not called when the module ran")
    for out in watched:
        spikes = out[0] if isinstance(out, (tuple, list)) else out
        if not bool(((spikes == 0) | (spikes == 1)).all()):
            raise ValueError(f"spikes: layer {name!r} gives values other than 0 and 1, so it does not spike")
    if not torch.equal(tape(x, len(y)), first):
        raise ValueError(
            "module reads the same batch differently the second time: it keeps state between batches, or is random. "
            "Pass run=, a function of module and batch that resets its state (or seeds it) and then calls it"
        )
    return len(first)


_CHANGES = "loader changes between passes: its labels differ. Use a DataLoader with shuffle=False"


def _fill(
    kind: type[BitStore] | type[RealStore],
    tape: _Tape,
    loader: Iterable[Any],
    labels: Tensor,
    steps: int,
    pooling: Pooling,
) -> Store:
    readout = tape.parts.readout
    store = kind(len(labels), readout.in_features, steps, pooling, constant=readout.bias is not None)
    row = 0
    for batch in loader:
        x, y = split_batch(batch)
        if not torch.equal(labels[row : row + len(y)], y):
            raise ValueError(_CHANGES)
        values = tape(x, len(y))
        if len(values) != steps and pooling.kind != "last":
            raise ValueError(f"loader gives batches of {steps} and {len(values)} steps: pad them to the same length")
        if kind is BitStore and not bool(((values == 0) | (values == 1)).all()):
            raise _NotBitsError
        if not bool(torch.isfinite(values).all()):
            raise ValueError("the readout reads NaN or infinity")
        store.add(values)
        row += len(y)
    if row != len(labels):
        raise ValueError(_CHANGES)
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
