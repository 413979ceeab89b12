"""The dictionary: the distinct columns that witnesses realise on a set of sequences, and which neuron gives which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from convexsnn.batches import Batches
from convexsnn.caller import isolated, paced
from convexsnn.column_blocks import ColumnBlocks, Making
from convexsnn.columns import BitColumns, Columns, RealColumns, pack_rows
from convexsnn.mapped import allocated
from convexsnn.network import Hidden
from convexsnn.ranks import Ranks, gathered
from convexsnn.sequences import SequenceSource
from convexsnn.sharded import ShardedColumns, ShardedSequences, rows_of_rank, whole
from convexsnn.simulation import Simulation, simulate_held, simulate_rows

# Bytes of rows compared at a time when equal ones are looked for.
BLOCK_BYTES = 2**24


@dataclass(frozen=True, eq=False)
class Dictionary:
    """D = [d_1 ... d_P]: the distinct, not all-zero columns of the witnesses' last layers.

    Attributes
    ----------
    columns : Columns of shape (rows, P)
        The distinct columns, in the order of the first neuron that gives each.
    neuron_of : int64 tensor of shape (P,)
        The first neuron that gives each column, counted over the last layers of all branches (`Hidden.owner` tells the
        branch).
    column_of : int64 tensor of shape (P_last,)
        The column that each last-layer neuron gives; -1 for neurons that are silent on every row.
    spike_margin : float
        The smallest distance |v - theta| of a potential from its threshold in the simulation, at least 0.
    firing : int
        Branches in which any neuron fired.
    """

    columns: Columns
    neuron_of: Tensor
    column_of: Tensor
    spike_margin: float
    firing: int = 0

    @property
    def n_silent(self) -> int:
        """Neurons whose column is all zero."""
        return int((self.column_of < 0).sum())

    @property
    def n_duplicates(self) -> int:
        """Neurons whose column an earlier neuron gives as well."""
        return len(self.column_of) - self.n_silent - len(self.neuron_of)

    def given_by(self, neuron: int) -> Dictionary:
        """The same columns, of which that of a last-layer neuron is given by it, and not by an earlier one."""
        place = int(self.column_of[neuron])
        neuron_of = self.neuron_of.clone()
        neuron_of[place] = neuron
        return replace(self, neuron_of=neuron_of)

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


@isolated
@paced(lambda hidden, sequences, *_, **__: len(sequences) * hidden.n_neurons)
def build_dictionary(
    hidden: Hidden,
    sequences: SequenceSource,
    on_chunk: Callable[[int, int], None] | None = None,
    blocks: ColumnBlocks | None = None,
) -> Dictionary:
    """Simulate witnesses and collect their distinct columns.

    Parameters
    ----------
    hidden : Hidden
        The witnesses.
    sequences : SequenceSource
        n sequences; simulated in chunks of bounded memory. `Batches` say where the columns are kept. `ShardedSequences`
        are simulated by all ranks, each its rows, and the columns stay there.
    on_chunk : callable, optional
        Called with (rows done, rows in all) after each chunk.
    blocks : ColumnBlocks, optional
        Columns that are there are taken from it, and new ones are kept in it.
    """
    total = sequences.rows(hidden.every_step)
    if not isinstance(sequences, ShardedSequences):
        made = _simulated(hidden, sequences, slice(0, total), on_chunk, blocks)
        neuron_of, column_of = distinct_rows(made.stored)
        columns = _kept(made.stored, neuron_of, total)
        return Dictionary(columns, neuron_of, column_of, made.margin, int(made.fired.sum()))
    ranks, held = sequences.ranks, rows_of_rank(total, sequences.ranks)
    made = _simulated(hidden, sequences, held, on_chunk, blocks)
    neuron_of, column_of = _distinct_on(ranks, made.stored)
    columns = ShardedColumns(_kept(made.stored, neuron_of, held.stop - held.start), total, ranks)
    margin = float(gathered(torch.tensor(made.margin, dtype=torch.float64), ranks).min())
    fired = gathered(made.fired.to(torch.uint8), ranks).any(dim=0)
    return Dictionary(columns, neuron_of, column_of, margin, int(fired.sum()))


def _simulated(
    hidden: Hidden,
    sequences: SequenceSource,
    held: slice,
    on_chunk: Callable[[int, int], None] | None,
    blocks: ColumnBlocks | None,
) -> Making:
    """The columns of all last-layer neurons, each a row of bytes or of numbers, in the rows that are held."""
    bits, source, rows = hidden.readout.bits, whole(sequences), held.stop - held.start
    width, dtype = (-(-rows // 8), torch.uint8) if bits else (rows, torch.float64)
    folder = source.columns_in if isinstance(source, Batches) else None
    stored = allocated((hidden.n_last, width), dtype, hidden.device, folder)
    making = Making(stored, held, torch.zeros(len(hidden.branches), dtype=torch.bool, device=hidden.device))
    keeper = None
    if blocks is not None:
        blocks.take_up(making)
        keeper = blocks.keeper(making)
    left = slice(making.reached, held.stop)
    parts = simulate_rows(hidden, source, left) if making.done else simulate_held(hidden, sequences)
    for _ in (_pack_rows if bits else _real_rows)(_watch(parts, making, on_chunk), making):
        if keeper is not None:
            keeper.offer()
    if keeper is not None:
        keeper.finish()
    return making


def _kept(stored: Tensor, neuron_of: Tensor, rows: int) -> BitColumns | RealColumns:
    """The columns of the neurons that `neuron_of` names, in the place of all."""
    kept = _moved_up(stored, neuron_of)
    return BitColumns(kept, rows) if stored.dtype == torch.uint8 else RealColumns(kept)


def _watch(
    parts: Iterable[Simulation], making: Making, on_chunk: Callable[[int, int], None] | None
) -> Iterator[Tensor]:
    """The features of each part, whose margin and spikes are noted."""
    done, total = making.reached - making.rows.start, making.rows.stop - making.rows.start
    for part in parts:
        spikes = [sum(int(counts.sum()) for counts in layers) for layers in part.counts]
        making.note(torch.tensor(spikes, dtype=torch.int64) > 0, part.margin)
        done += len(part.features)
        if on_chunk is not None:
            on_chunk(done, total)
        yield part.features


def _pack_rows(parts: Iterable[Tensor], making: Making) -> Iterator[None]:
    """Write bool row blocks (r, P) as bits, never holding more than a block unpacked; yields after each."""
    packed = making.stored
    rest = torch.empty(0, len(packed), dtype=torch.bool, device=packed.device)
    for part in parts:
        block = torch.cat([rest, part]) if len(rest) else part
        whole = len(block) // 8
        packed[:, making.done : making.done + whole] = pack_rows(block[: 8 * whole]).T
        making.done, rest = making.done + whole, block[8 * whole :]
        yield
    if len(rest):
        packed[:, making.done :] = pack_rows(rest).T


def _real_rows(parts: Iterable[Tensor], making: Making) -> Iterator[None]:
    """Write row blocks (r, P) as float64 columns; yields after each."""
    for part in parts:
        making.stored[:, making.done : making.done + len(part)] = part.T
        making.done += len(part)
        yield
    # Adding zero turns -0.0 into 0.0, so that equal columns are equal bytes.
    making.stored.add_(0.0)


def _moved_up(stored: Tensor, kept: Tensor) -> Tensor:
    """The rows of `stored` that `kept` names in ascending order, moved to its beginning a few at a time."""
    if len(kept) < len(stored):
        size = max(1, BLOCK_BYTES // max(1, stored[:1].nbytes))
        for start in range(0, len(kept), size):
            chosen = kept[start : start + size]
            stored[start : start + len(chosen)] = stored[chosen]
    return stored[: len(kept)]


def distinct_rows(stored: Tensor) -> tuple[Tensor, Tensor]:
    """First occurrence of each distinct nonzero row, in order, and the position of each row's among them (or -1).

    Rows are the same where their bytes are. Beside `stored` nothing of its size is held.
    """
    if len(stored) == 0:
        none = torch.zeros(0, dtype=torch.int64, device=stored.device)
        return none, none
    values = np.ascontiguousarray(stored.cpu().numpy())
    raw = values.view(np.uint8)
    keys = raw.view(np.dtype((np.void, raw.shape[1]))).ravel()
    ordered = np.argsort(keys, kind="stable")
    begins = np.ones(len(raw), dtype=bool)
    for start, stop in _blocks(raw, first=1):
        begins[start:stop] = (raw[ordered[start:stop]] != raw[ordered[start - 1 : stop - 1]]).any(axis=1)
    group = np.empty(len(raw), dtype=np.int64)
    group[ordered] = np.cumsum(begins) - 1
    first = ordered[begins]
    loud = np.empty(len(raw), dtype=bool)
    for start, stop in _blocks(raw):
        loud[start:stop] = values[start:stop].any(axis=1)
    order = np.argsort(np.where(loud[first], first, len(raw)), kind="stable")[: loud[first].sum()]
    position = np.full(len(first), -1)
    position[order] = np.arange(len(order))
    as_tensor = lambda a: torch.from_numpy(a).to(stored.device)  # noqa: E731
    return as_tensor(first[order]), as_tensor(position[group])


def _distinct_on(ranks: Ranks, stored: Tensor) -> tuple[Tensor, Tensor]:
    """`distinct_rows` of rows whose entries are spread over ranks: they are equal where they are so on every rank."""
    silent = torch.full((len(stored),), -1, dtype=torch.int64, device=stored.device)
    own = distinct_rows(stored)[1] if stored.shape[1] else silent  # a rank may have no rows
    return distinct_rows(gathered(own + 1, ranks).T.contiguous())


def _blocks(raw: np.ndarray, first: int = 0) -> Iterator[tuple[int, int]]:
    """Ranges of the rows of bytes `raw`, from `first` on, each of a bounded number of bytes."""
    size = max(1, BLOCK_BYTES // raw.shape[1])
    return ((start, min(start + size, len(raw))) for start in range(first, len(raw), size))
