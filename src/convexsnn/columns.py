"""The columns of a dictionary, and the only products the convex program needs of them.

A dictionary may have far more entries than fit in memory as floats, so 0/1 columns are kept at one bit an entry and
unpacked block by block. All classes have the same interface: ``shape``, ``device``, ``binary``, ``ranks``, ``matmul``,
``rmatmul``, ``squares``, ``dense``, ``take``, ``rows``, ``between``, ``floats``, ``over_rows``, ``each_row``; and
``largest`` and ``slices`` for products without rounding (`rounding`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from convexsnn.bit_products import packed_combination, packed_product
from convexsnn.errorfree import largest_of, limbs
from convexsnn.ranks import Alone, Ranks
from convexsnn.rowwise import by_rows

# Entries unpacked at a time. On a CPU 2**17 float64 (1 MiB) stay in cache, and their buffer is used again: products
# with blocks of 2**23 entries were measured to be ten times slower, nearly all of it in fresh pages of memory.
CPU_BLOCK_ENTRIES, BLOCK_ENTRIES = 2**17, 2**23
LEAST_BLOCK_COLUMNS = 16
# From so many entries on, a CPU multiplies bits by tables (`bit_products`).
TABLE_ENTRIES = 2**22
# With fewer columns in use, tables cost more than they save where bits are combined.
TABLE_COLUMNS = 64
# Where a CPU has more than twice as many rows, it goes over so many at a time, so that blocks stay in cache.
BLOCK_ROWS = 2**12

_Chosen = TypeVar("_Chosen", Tensor, slice)
"""Some columns: their numbers, or a range of them."""


class Columns(Protocol):
    """An ``(n, P)`` matrix known through its products.

    Attributes
    ----------
    binary : bool
        Whether all entries are 0 or 1.
    ranks : Ranks
        The processes that hold the rows, each of which may do a share of the work.
    """

    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def binary(self) -> bool: ...
    @property
    def ranks(self) -> Ranks: ...
    def matmul(self, W: Tensor) -> Tensor: ...
    def rmatmul(self, U: Tensor) -> Tensor: ...
    def squares(self, weights: Tensor) -> Tensor: ...
    def dense(self, dtype: torch.dtype = torch.float64) -> Tensor: ...
    def take(self, index: Tensor) -> Columns: ...
    def rows(self, index: Tensor) -> Columns: ...
    def between(self, start: int, stop: int) -> Columns: ...
    def floats(self, dtype: torch.dtype) -> Columns: ...
    def over_rows(self, of_part: OfPart, zero: Tensor) -> Tensor: ...
    def each_row(self, of_part: OfPart) -> Tensor: ...
    @property
    def largest(self) -> float: ...
    def slices(self, bits: int) -> Iterator[Slice]: ...


OfPart = Callable[[Columns, slice], Tensor]
"""What is computed from columns of which some rows are here, and from the range of these rows."""


class Slice(NamedTuple):
    """A part of columns with short entries: integers of `bits` bits times a power of two.

    Columns are the sum of weight * columns over their slices. `place` is how many bits the slice lies below the first.
    """

    weight: float
    columns: Columns
    bits: int
    place: int


class _AllRows:
    """Columns with real entries, unless a kind says otherwise, of which this process has all rows."""

    @property
    def binary(self) -> bool:
        """Whether all entries are 0 or 1."""
        return False

    @property
    def ranks(self) -> Ranks:
        """The one process that has them."""
        return Alone()

    def floats(self: Columns, dtype: torch.dtype) -> RealColumns:
        """The same columns, kept as numbers of `dtype`."""
        return RealColumns(self.dense(dtype).T.contiguous())

    def over_rows(self: Columns, of_part: OfPart, zero: Tensor) -> Tensor:  # noqa: ARG002 - of other kinds
        """The sum, over parts of the rows, of what `of_part` makes of each: all rows are one part here."""
        return of_part(self, slice(0, self.shape[0]))

    def each_row(self: Columns, of_part: OfPart) -> Tensor:
        """What `of_part` makes of blocks of rows, a row a row, one below the other."""
        return by_rows(lambda rows: of_part(self.between(rows.start, rows.stop), rows), self.shape[0])


@dataclass(frozen=True)
class BitColumns(_AllRows):
    """0/1 columns at one bit an entry.

    Attributes
    ----------
    packed : uint8 tensor of shape (P, ceil(n / 8))
        Row ``j`` holds column ``j``; bit ``i % 8`` (least significant first) of byte ``i // 8`` is entry ``i``.
    n : int
        Number of rows of the dictionary.
    """

    packed: Tensor
    n: int

    @classmethod
    def of(cls, bits: Tensor) -> BitColumns:
        """From a bool tensor of shape (P, n), a row a column."""
        return cls(pack_bits(bits), bits.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        return self.n, self.packed.shape[0]

    @property
    def binary(self) -> bool:
        """Whether all entries are 0 or 1."""
        return True

    @property
    def device(self) -> torch.device:
        return self.packed.device

    def dense(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """All entries as an ``(n, P)`` tensor of `dtype`; only for dictionaries that fit in memory as floats."""
        return unpack_bits(self.packed, self.n).to(dtype).T

    def take(self, index: Tensor) -> BitColumns:
        """The columns named by `index` (int64 tensor), in that order."""
        return BitColumns(self.packed.index_select(0, index), self.n)

    def rows(self, index: Tensor) -> BitColumns:
        """The rows named by `index` (int64 tensor), in that order."""
        return BitColumns(_pick_bits(self.packed, self.n, index), len(index))

    def between(self, start: int, stop: int) -> BitColumns:
        """The rows from `start`, a multiple of 8, to before `stop`, at most n; no copy."""
        return BitColumns(self.packed[:, start // 8 : -(-stop // 8)], stop - start)

    @property
    def largest(self) -> float:
        """An upper bound of all absolute entries."""
        return 1.0

    def slices(self, bits: int) -> Iterator[Slice]:  # noqa: ARG002 - one bit an entry is short enough
        """The columns themselves."""
        yield Slice(1.0, self, 1, 0)

    def matmul(self, W: Tensor) -> Tensor:
        """``D @ W`` for `W` of shape (P, C); shape (n, C), dtype of `W`. Columns of weight zero are skipped."""
        used = torch.nonzero(W.any(dim=1)).flatten()
        if len(used) >= TABLE_COLUMNS and self._by_tables(W):
            return packed_combination(self.packed, self.n, used, W[used])
        out = W.new_zeros(self.n, W.shape[1])
        blocks = used.split(block_columns(self._block_rows, self.device))
        for rows, chosen, entries in self._unpacked(blocks, W.dtype):
            out[rows].addmm_(entries.T, W[chosen])
        return out

    def rmatmul(self, U: Tensor) -> Tensor:
        """``D.T @ U`` for `U` of shape (n, C); shape (P, C), dtype of `U`."""
        if self._by_tables(U):
            return packed_product(self.packed, U)
        out = U.new_zeros(self.shape[1], U.shape[1])
        size = block_columns(self._block_rows, self.device)
        blocks = [slice(start, start + size) for start in range(0, len(out), size)]
        for rows, block, entries in self._unpacked(blocks, U.dtype):
            out[block].addmm_(entries, U[rows])
        return out

    def squares(self, weights: Tensor) -> Tensor:
        """The squared norm of each column under row weights (n,): sum_i w_i d_ij^2, shape (P,)."""
        return self.rmatmul(weights.unsqueeze(1)).squeeze(1)

    def _by_tables(self, factor: Tensor) -> bool:
        """Whether tables of sums multiply faster than matrices do."""
        floats = factor.dtype in (torch.float32, torch.float64)
        return floats and self.device.type == "cpu" and self.n * self.shape[1] >= TABLE_ENTRIES

    @property
    def _block_rows(self) -> int:
        """How many rows to unpack at a time."""
        return BLOCK_ROWS if self.device.type == "cpu" and self.n > 2 * BLOCK_ROWS else self.n

    def _unpacked(self, blocks: Sequence[_Chosen], dtype: torch.dtype) -> Iterator[tuple[slice, _Chosen, Tensor]]:
        """Rows, blocks of columns, and their entries, a row a column, which are valid until the next block."""
        height = self._block_rows
        size = min(block_columns(height, self.device), self.shape[1])
        buffer = torch.empty(size, height, dtype=dtype, device=self.device)
        for start in range(0, self.n, max(1, height)):
            rows = slice(start, min(self.n, start + height))
            part = self.between(rows.start, rows.stop)
            for block in blocks:
                packed = part.packed[block]
                yield rows, block, buffer[: len(packed), : part.n].copy_(unpack_bits(packed, part.n))


@dataclass(frozen=True)
class RealColumns(_AllRows):
    """Real-valued columns (the analog membrane readout), stored as they are.

    Attributes
    ----------
    values : float64 tensor of shape (P, n)
        Row ``j`` holds column ``j``, so that a column is contiguous.
    """

    values: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[1], self.values.shape[0]

    @property
    def device(self) -> torch.device:
        return self.values.device

    def dense(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """All entries as an ``(n, P)`` tensor of `dtype`."""
        return self.values.to(dtype).T

    def take(self, index: Tensor) -> RealColumns:
        """The columns named by `index` (int64 tensor), in that order."""
        return RealColumns(self.values.index_select(0, index))

    def rows(self, index: Tensor) -> RealColumns:
        """The rows named by `index` (int64 tensor), in that order."""
        return RealColumns(self.values.index_select(1, index))

    def between(self, start: int, stop: int) -> RealColumns:
        """The rows from `start` to before `stop`; no copy."""
        return RealColumns(self.values[:, start:stop])

    @property
    def largest(self) -> float:
        """An upper bound of all absolute entries."""
        return largest_of(self.values)

    def slices(self, bits: int) -> Iterator[Slice]:
        """Parts of `bits` bits, the highest first; see `limbs`."""
        for part, place in limbs(self.values, self.largest, bits):
            yield Slice(1.0, RealColumns(part), bits, place)

    def matmul(self, W: Tensor) -> Tensor:
        """``D @ W`` for `W` of shape (P, C); shape (n, C). Columns of weight zero are skipped where they are most."""
        used = torch.nonzero(W.any(dim=1)).flatten()
        if 2 * len(used) < len(W):
            return self.values.index_select(0, used).T.to(W.dtype) @ W[used]
        return self.values.T.to(W.dtype) @ W

    def rmatmul(self, U: Tensor) -> Tensor:
        """``D.T @ U`` for `U` of shape (n, C); shape (P, C)."""
        return self.values.to(U.dtype) @ U

    def squares(self, weights: Tensor) -> Tensor:
        """The squared norm of each column under row weights (n,): sum_i w_i d_ij^2, shape (P,)."""
        parts = [block**2 @ weights for block in self.values.split(block_columns(self.shape[0], self.device))]
        return torch.cat(parts)


@dataclass(frozen=True)
class PlaneColumns(_AllRows):
    """Columns that are weighted sums of few 0/1 columns, such as spike counts: one bit an entry and plane.

    Attributes
    ----------
    packed : uint8 tensor of shape (P, B, ceil(n / 8))
        ``packed[:, b]`` is the b-th plane, as of `BitColumns`.
    weights : float64 tensor of shape (B,)
        An entry is sum_b weights_b * bit_b.
    n : int
    """

    packed: Tensor
    weights: Tensor
    n: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.n, self.packed.shape[0]

    @property
    def device(self) -> torch.device:
        return self.packed.device

    def dense(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """All entries as an ``(n, P)`` tensor of `dtype`."""
        values = torch.zeros(self.shape[1], self.n, dtype=dtype, device=self.device)
        for plane, weight in zip(self.packed.unbind(dim=1), self.weights.tolist(), strict=True):
            values.add_(unpack_bits(plane, self.n).to(dtype), alpha=weight)
        return values.T

    def take(self, index: Tensor) -> PlaneColumns:
        """The columns named by `index` (int64 tensor), in that order."""
        return PlaneColumns(self.packed.index_select(0, index), self.weights, self.n)

    def rows(self, index: Tensor) -> PlaneColumns:
        """The rows named by `index` (int64 tensor), in that order."""
        planes = [_pick_bits(plane, self.n, index) for plane in self.packed.unbind(dim=1)]
        return PlaneColumns(torch.stack(planes, dim=1), self.weights, len(index))

    def between(self, start: int, stop: int) -> PlaneColumns:
        """The rows from `start`, a multiple of 8, to before `stop`, at most n; no copy."""
        return PlaneColumns(self.packed[:, :, start // 8 : -(-stop // 8)], self.weights, stop - start)

    @property
    def largest(self) -> float:
        """An upper bound of all absolute entries."""
        return float(self.weights.abs().sum())

    def slices(self, bits: int) -> Iterator[Slice]:  # noqa: ARG002 - one bit an entry is short enough
        """The planes."""
        for plane, weight in zip(self.packed.unbind(dim=1), self.weights.tolist(), strict=True):
            yield Slice(weight, BitColumns(plane, self.n), 1, 0)

    def matmul(self, W: Tensor) -> Tensor:
        """``D @ W`` for `W` of shape (P, C); shape (n, C), dtype of `W`. Columns of weight zero are skipped."""
        used = torch.nonzero(W.any(dim=1)).flatten()
        out = W.new_zeros(self.n, W.shape[1])
        for chosen in used.split(block_columns(self.n, self.device)):
            out += self.take(chosen).dense(W.dtype) @ W[chosen]
        return out

    def rmatmul(self, U: Tensor) -> Tensor:
        """``D.T @ U`` for `U` of shape (n, C); shape (P, C), dtype of `U`."""
        every = torch.arange(self.shape[1], device=self.device)
        parts = [self.take(chosen).dense(U.dtype).T @ U for chosen in every.split(block_columns(self.n, self.device))]
        return torch.cat(parts) if len(every) else U.new_zeros(0, U.shape[1])

    def squares(self, weights: Tensor) -> Tensor:
        """The squared norm of each column under row weights (n,): sum_i w_i d_ij^2, shape (P,)."""
        every = torch.arange(self.shape[1], device=self.device).split(block_columns(self.n, self.device))
        return torch.cat([self.take(chosen).dense(weights.dtype).T ** 2 @ weights for chosen in every])


def block_columns(n: int, device: torch.device) -> int:
    """How many columns of `n` entries to unpack at a time: some, so that products see matrices."""
    entries = CPU_BLOCK_ENTRIES if device.type == "cpu" else BLOCK_ENTRIES
    return max(LEAST_BLOCK_COLUMNS, entries // max(1, n))


def pack_bits(bits: Tensor) -> Tensor:
    """Pack a bool tensor (P, n) into a uint8 tensor (P, ceil(n / 8)), least significant bit first, zero padded."""
    if bits.device.type == "cpu":
        return torch.from_numpy(np.packbits(bits.numpy(), axis=1, bitorder="little"))
    count, n = bits.shape
    padded = bits.new_zeros(count, -(-n // 8) * 8)
    padded[:, :n] = bits
    octets = padded.reshape(count, padded.shape[1] // 8, 8).to(torch.uint8)
    packed = octets[:, :, 0].clone()
    for k in range(1, 8):
        packed |= octets[:, :, k] << k
    return packed


def _pick_bits(packed: Tensor, n: int, index: Tensor) -> Tensor:
    """Packed columns (P, ceil(n / 8)) cut down to the rows `index`, packed anew; unpacked block by block."""
    size = block_columns(n, packed.device)
    parts = [pack_bits(unpack_bits(block, n)[:, index] > 0) for block in packed.split(size)]
    return torch.cat(parts) if parts else packed.new_zeros(0, -(-len(index) // 8))


def pack_rows(bits: Tensor) -> Tensor:
    """The transpose of ``pack_bits(bits.T)`` for a bool tensor (n, P), whose rows are read as they lie in memory."""
    if bits.device.type == "cpu":
        return torch.from_numpy(np.packbits(bits.numpy(), axis=0, bitorder="little"))
    return pack_bits(bits.T).T


def unpack_bits(packed: Tensor, n: int) -> Tensor:
    """Inverse of `pack_bits`: a uint8 tensor (P, n) of zeros and ones."""
    if packed.device.type == "cpu":
        return torch.from_numpy(np.unpackbits(packed.numpy(), axis=1, count=n, bitorder="little"))
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    bits = (packed.unsqueeze(-1) >> shifts) & 1
    return bits.flatten(start_dim=1)[:, :n]
