"""What the readout reads, kept row by row: bits where it reads spikes, float64 where it does not."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from convexsnn.columns import BitColumns, Columns, PlaneColumns, RealColumns, pack_bits
from convexsnn.dictionary import Dictionary, distinct_rows
from convexsnn.polishing.pooling import Pooling


class Store(Protocol):
    """Takes what the readout reads of a batch at every step, (T, n, F), and gives the dictionary.

    `lengths` (n,) are those of the sequences, and `keep` (rows,) says which rows are kept; None is all.
    """

    def add(self, values: Tensor, lengths: Tensor | None = None, keep: Tensor | None = None) -> None: ...
    def dictionary(self) -> Dictionary: ...


class BitStore:
    """Spikes: the planes of `Pooling.planes` at one bit an entry; memory is set aside once.

    Parameters
    ----------
    rows, width, steps : int
        n, the neurons F that the readout reads, and T.
    pooling : Pooling
    constant : bool
        One more column, of a neuron that fires at every step: the readout's bias.
    """

    def __init__(self, rows: int, width: int, steps: int, pooling: Pooling, *, constant: bool) -> None:
        self.n, self.pooling, self.steps, self.constant = rows, pooling, steps, constant
        self.weights = pooling.weights(steps)
        self.packed = torch.zeros(width + constant, len(self.weights), -(-rows // 8), dtype=torch.uint8)
        self.rest = torch.zeros(len(self.weights), 0, width + constant, dtype=torch.bool)
        self.bytes = 0

    def add(self, values: Tensor, lengths: Tensor | None = None, keep: Tensor | None = None) -> None:
        """Rows of one batch; `values` holds zeros and ones."""
        spikes = values.to("cpu", torch.bool)
        planes = self.pooling.planes(_with_constant(spikes) if self.constant else spikes, lengths)
        rows = torch.cat([self.rest, planes if keep is None else planes[:, keep]], dim=1)
        whole = rows.shape[1] // 8
        self._write(rows[:, : 8 * whole])
        self.rest = rows[:, 8 * whole :]

    def dictionary(self) -> Dictionary:
        """Distinct columns, and which neuron gives which."""
        self._write(self.rest)
        neuron_of, column_of = distinct_rows(self.packed.flatten(1))
        kept = self.packed if len(neuron_of) == len(self.packed) else self.packed[neuron_of]
        bits = self.pooling.kind == "last"
        columns: Columns = BitColumns(kept[:, 0], self.n) if bits else PlaneColumns(kept, self.weights, self.n)
        return Dictionary(columns, neuron_of, column_of, torch.inf)

    def _write(self, rows: Tensor) -> None:
        end = self.bytes - (-rows.shape[1] // 8)
        for b, plane in enumerate(rows):
            self.packed[:, b, self.bytes : end] = pack_bits(plane.T)
        self.bytes = end


class RealStore:
    """Anything else that a readout may read, such as averages of spikes: 8 bytes an entry."""

    def __init__(self, rows: int, width: int, steps: int, pooling: Pooling, *, constant: bool) -> None:  # noqa: ARG002
        self.pooling, self.constant, self.row = pooling, constant, 0
        self.values = torch.empty(width + constant, rows, dtype=torch.float64)

    def add(self, values: Tensor, lengths: Tensor | None = None, keep: Tensor | None = None) -> None:
        """Rows of one batch."""
        pooled = self.pooling.reduce(_with_constant(values) if self.constant else values, lengths).cpu()
        pooled = pooled if keep is None else pooled[keep]
        self.values[:, self.row : self.row + len(pooled)] = pooled.T
        self.row += len(pooled)

    def dictionary(self) -> Dictionary:
        """Distinct columns, and which neuron gives which."""
        self.values += 0.0  # turns -0.0 into 0.0, so that equal columns are equal bytes
        neuron_of, column_of = distinct_rows(self.values)
        kept = self.values if len(neuron_of) == len(self.values) else self.values[neuron_of]
        return Dictionary(RealColumns(kept), neuron_of, column_of, torch.inf)


def _with_constant(values: Tensor) -> Tensor:
    """One more neuron, which fires at every step."""
    return torch.cat([values, torch.ones_like(values[:, :, :1])], dim=2)
