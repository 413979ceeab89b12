"""The dictionary: the distinct columns that witnesses realise on a set of sequences, and which neuron gives which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convexsnn.columns import BitColumns, Columns, RealColumns, pack_rows
from convexsnn.network import Hidden
from convexsnn.sequences import Sequences
from convexsnn.simulation import Simulation, simulate_chunks


@dataclass(frozen=True, eq=False)
class Dictionary:
    """D = [d_1 ... d_P]: the distinct, not all-zero columns of the witnesses' last layers.

    Attributes
    ----------
    columns : Columns of shape (rows, P)
        In the order of the first neuron that gives each.
    neuron_of : int64 tensor of shape (P,)
        That first neuron, counted over the last layers of all branches (`Hidden.owner` tells the branch).
    column_of : int64 tensor of shape (P_last,)
        The column that each last-layer neuron gives; -1 for neurons that are silent on every row.
    spike_margin : float
        Smallest |v - theta| seen in the simulation.
    """

    columns: Columns
    neuron_of: Tensor
    column_of: Tensor
    spike_margin: float

    @property
    def n_silent(self) -> int:
        """Neurons whose column is all zero."""
        return int((self.column_of < 0).sum())

    @property
    def n_duplicates(self) -> int:
        """Neurons whose column an earlier neuron gives as well."""
        return len(self.column_of) - self.n_silent - len(self.neuron_of)

    def to_neurons(self, W: Tensor) -> Tensor:
        """Column weights (P, C) as weights of last-layer neurons (P_last, C): equal columns merge on the first."""
        weights = W.new_zeros(len(self.column_of), W.shape[1])
        weights[self.neuron_of] = W
        return weights

    def to_columns(self, weights: Tensor) -> Tensor:
        """Weights of last-layer neurons (P_last, C) as column weights (P, C): equal columns add up."""
        W = weights.new_zeros(len(self.neuron_of), weights.shape[1])
        loud = self.column_of >= 0
        return W.index_add(0, self.column_of[loud], weights[loud])


def build_dictionary(
    hidden: Hidden, sequences: Sequences, on_chunk: Callable[[int, int], None] | None = None
) -> Dictionary:
    """Simulate witnesses and collect their distinct columns.

    Parameters
    ----------
    hidden : Hidden
        The witnesses.
    sequences : Sequences
        n sequences; simulated in chunks of bounded memory.
    on_chunk : callable, optional
        Called with (rows done, rows in all) after each chunk.
    """
    total = sequences.rows(hidden.every_step)
    margins: list[float] = []
    chunks = _watch(simulate_chunks(hidden, sequences), margins, total, on_chunk)
    if hidden.readout == "analog":
        # Adding zero turns -0.0 into 0.0, so that equal columns are equal bytes.
        stored = torch.cat([part.features.to(torch.float64) for part in chunks]).T.contiguous() + 0.0
    else:
        stored = _pack_rows(part.features for part in chunks)
    neuron_of, column_of = distinct_rows(stored)
    kept = stored[neuron_of]
    columns = RealColumns(kept) if hidden.readout == "analog" else BitColumns(kept, total)
    return Dictionary(columns, neuron_of, column_of, min(margins))


def _watch(
    parts: Iterator[Simulation], margins: list[float], total: int, on_chunk: Callable[[int, int], None] | None
) -> Iterator[Simulation]:
    done = 0
    for part in parts:
        margins.append(part.margin)
        done += len(part.features)
        if on_chunk is not None:
            on_chunk(done, total)
        yield part


def _pack_rows(parts: Iterable[Tensor]) -> Tensor:
    """Bool row blocks (r, P) as bits (P, ceil(rows / 8)), never holding more than a block unpacked."""
    packed, rest = [], None
    for part in parts:
        rows = part if rest is None or not len(rest) else torch.cat([rest, part])
        whole = len(rows) // 8 * 8
        packed.append(pack_rows(rows[:whole]))
        rest = rows[whole:]
    if rest is not None and len(rest):
        packed.append(pack_rows(rest))
    return torch.cat(packed).T.contiguous()


def distinct_rows(stored: Tensor) -> tuple[Tensor, Tensor]:
    """First occurrence of each distinct nonzero row, in order, and the position of each row's among them (or -1)."""
    if len(stored) == 0:
        none = torch.zeros(0, dtype=torch.int64, device=stored.device)
        return none, none
    raw = np.ascontiguousarray(stored.cpu().numpy())
    keys = raw.view(np.dtype((np.void, raw.dtype.itemsize * raw.shape[1]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    loud = raw[first].any(axis=1)
    order = np.argsort(np.where(loud, first, len(raw)), kind="stable")[: loud.sum()]
    position = np.full(len(first), -1)
    position[order] = np.arange(len(order))
    as_tensor = lambda a: torch.from_numpy(a).to(stored.device)  # noqa: E731
    return as_tensor(first[order]), as_tensor(position[inverse.ravel()])
