"""Many small branches run and scored at once on all prefixes: the hot path of a search.

The dynamics are those of `LIF.step`, written anew so that every operation works in place and a step's carry is computed
once for all children of a prefix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from convexsnn.caller import one_thread
from convexsnn.neurons import Reset
from convexsnn.prefixes import Prefixes
from convexsnn.ranks import Alone, Ranks, made_in_shares
from convexsnn.readouts import Membrane
from convexsnn.search.branches.population import Population, StackedLayer
from convexsnn.search.branches.reading import at_last_step, columns_over_time, where_seen
from convexsnn.team import Team

# Floats of one layer's potentials held at a time. On a CPU every step costs several times as much beyond the cache. A
# GPU needs many at once to be busy.
CHUNK_FLOATS, CHUNK_FLOATS_ON_GPU = 2**18, 2**27


@dataclass(frozen=True, eq=False)
class _Wiring:
    """A stacked layer with neurons before inputs and settings as columns: operands of (B, m, prefixes) tensors.

    Attributes
    ----------
    weight : float tensor of shape (B, m, n_in)
    recurrent : float tensor of shape (B, m, m), or None
    bias : float tensor of shape (B, m, 1), or None
    leak, threshold : float tensors of shape (B, m, 1)
    reset : str
    """

    weight: Tensor
    recurrent: Tensor | None
    bias: Tensor | None
    leak: Tensor
    threshold: Tensor
    reset: Reset

    @classmethod
    def of(cls, layer: StackedLayer, reset: Reset) -> _Wiring:
        weight, recurrent = layer.weight.transpose(1, 2).contiguous(), layer.recurrent
        turned = None if recurrent is None else recurrent.transpose(1, 2).contiguous()
        bias = None if layer.bias is None else layer.bias.unsqueeze(2)
        return cls(weight, turned, bias, layer.leak.unsqueeze(2), layer.threshold.unsqueeze(2), reset)

    def at_rest(self) -> Tensor:
        """What is carried into the first step, (B, m, 1)."""
        rest = torch.zeros_like(self.leak) if self.bias is None else self.bias
        # A membrane of zero is already beyond a threshold that is not positive.
        return rest - torch.where(self.threshold <= 0.0, self.threshold, 0.0) if self.reset == "delayed" else rest

    def drive(self, carried: Tensor, below: Tensor) -> Tensor:
        """The potential, written over what was carried; `below` is (B, n_in, u), or (n_in, u), the same for all."""
        if below.ndim == 3:
            return carried.baddbmm_(self.weight, below)
        carried.flatten(0, 1).addmm_(self.weight.flatten(0, 1), below)
        return carried

    def fire(self, potential: Tensor, spikes: Tensor) -> Tensor:
        """Write `spikes`, zeros and ones, and over the potential the membrane after reset (where delayed: before)."""
        torch.ge(potential, self.threshold, out=spikes)
        match self.reset:
            case "soft":
                potential.addcmul_(spikes, self.threshold, value=-1.0)
            case "hard":
                potential.addcmul_(potential, spikes, value=-1.0)
            case "none" | "delayed":
                pass
            case _:
                assert_never(self.reset)
        return potential

    def carry(self, membrane: Tensor, spikes: Tensor) -> Tensor:
        """All of the next step's potential but its input, written over the membrane."""
        membrane.mul_(self.leak)
        if self.bias is not None:
            membrane.add_(self.bias)
        if self.reset == "delayed":
            membrane.addcmul_(spikes, self.threshold, value=-1.0)
        return membrane if self.recurrent is None else membrane.baddbmm_(self.recurrent, spikes)


class _Memory:
    """Buffers of a layer, used again at every step.

    Attributes
    ----------
    carried : float tensor of shape (B, m, u) or (B, m, 1)
        What the next step's potentials begin from.
    """

    def __init__(self, rest: Tensor, most: int) -> None:
        """Begin with `rest` (B, m, 1), for at most `most` prefixes at a step."""
        self._shape = rest.shape[:2]
        self._carried, self._other, self._spikes = (rest.new_empty(rest.numel() * most) for _ in range(3))
        self.carried = rest

    def descend(self, parent: Tensor) -> None:
        """Prefix i goes on from prefix `parent[i]`."""
        self._carried, self._other = self._other, self._carried
        following = self._view(self._carried, len(parent))
        torch.index_select(self.carried.flatten(0, 1), 1, parent, out=following.flatten(0, 1))
        self.carried = following

    def spikes(self, u: int) -> Tensor:
        """Room for the spikes of `u` prefixes."""
        return self._view(self._spikes, u)

    def _view(self, buffer: Tensor, u: int) -> Tensor:
        B, m = self._shape
        return buffer[: B * m * u].view(B, m, u)


@torch.no_grad()
def features(population: Population, prefixes: Prefixes) -> Iterator[tuple[int, Tensor]]:
    """What the output sees at each step that is read: (t, tensor of zeros and ones of shape (B, m, u_t)).

    Prefixes are the last axis, along which leaks and thresholds do not change, so that every operation is one pass over
    contiguous memory. The tensor is overwritten by the next step.
    """
    wirings = [_Wiring.of(layer, population.reset) for layer in population.layers]
    memories = [_Memory(wiring.at_rest(), max(prefixes.sizes)) for wiring in wirings]
    for t, (x, parent) in enumerate(zip(prefixes.values, prefixes.parents, strict=True)):
        below, u = x.T, len(x)
        seen = None
        for wiring, memory in zip(wirings, memories, strict=True):
            if parent is not None:
                memory.descend(parent)
            spikes = memory.spikes(u)
            membrane = wiring.fire(wiring.drive(memory.carried, below), spikes)
            if prefixes.read[t] and isinstance(population.readout, Membrane) and wiring is wirings[-1]:
                seen = (membrane >= 0.0).to(membrane.dtype)
            below, memory.carried = spikes, wiring.carry(membrane, spikes)
        if prefixes.read[t]:
            yield t, below if seen is None else seen


def correlate(population: Population, prefixes: Prefixes, counts: list[Tensor]) -> Tensor:
    """d^T U of every column of the last layers: float tensor of shape (B, m * parts, C).

    Parameters
    ----------
    population : Population
    prefixes : Prefixes
    counts : list of T float tensors of shape (u_t, parts * C)
        What one spike after each prefix counts, as `counted` has it.
    """
    prefixes, kind = where_seen(prefixes, population.readout), population.layers[0].weight
    at_step = [count.to(kind.device, kind.dtype) for count in counts]
    size, parts = _at_once(population, prefixes), []
    for start in range(0, len(population), size):
        part = population.take(slice(start, start + size))
        total = kind.new_zeros(len(part), part.m_last, at_step[0].shape[1])
        for t, seen in features(part, prefixes):
            total.baddbmm_(seen, at_step[t].expand(len(part), *at_step[t].shape))
        parts.append(total)
    return by_column(torch.cat(parts), population)


def by_column(sums: Tensor, population: Population) -> Tensor:
    """Sums (B, m, parts * C) of neurons as those of their columns, (B, m * parts, C)."""
    return sums.unflatten(2, (population.readout.parts, -1)).flatten(1, 2)


def columns(
    population: Population, owner: Tensor, column: Tensor, prefixes: Prefixes, ranks: Ranks | None = None
) -> Tensor:
    """Chosen columns of the last layers.

    Parameters
    ----------
    population : Population
    owner, column : int64 tensors of shape (P,)
        Branch, and place among the columns of its last layer, of each: a neuron gives one for each part of the readout.
    prefixes : Prefixes
        Values in the population's dtype.
    ranks : Ranks, optional
        Each runs some of the branches, and all get all columns. Branches are run together as one rank alone would, so
        their potentials are the same to the last bit.

    Returns
    -------
    tensor of shape (P, rows)
        bool for readouts of the last step, else float64.
    """
    readout, dtype, ranks = population.readout, population.layers[0].weight.dtype, ranks or Alone()
    neuron, part = column // readout.parts, column % readout.parts
    if at_last_step(readout):
        return _seen(population, owner, neuron, prefixes, prefixes.node_of_row, ranks)
    nodes = torch.arange(prefixes.n_nodes)
    spikes = _seen(population, owner, neuron, prefixes.at_every_step, nodes, ranks)
    return columns_over_time(readout, spikes, part, prefixes, dtype)


def _seen(
    population: Population, owner: Tensor, neuron: Tensor, prefixes: Prefixes, nodes: Tensor, ranks: Ranks
) -> Tensor:
    """What is seen of chosen neurons after the prefixes numbered by `nodes`: bool of shape (P, len(nodes))."""
    size, ends = _at_once(population, prefixes), torch.tensor(prefixes.sizes).cumsum(0).tolist()

    def of_few(few: slice) -> Tensor:
        wanted, place = owner[few].unique(return_inverse=True)
        seen_at = torch.zeros(len(place), prefixes.n_nodes, dtype=torch.bool)
        for t, seen in features(population.take(wanted), prefixes):
            seen_at[:, ends[t] - len(prefixes.values[t]) : ends[t]] = seen[place, neuron[few]].cpu() > 0.0
        return seen_at[:, nodes]

    def of_share(share: slice) -> Tensor:
        parts = [slice(start, min(share.stop, start + size)) for start in range(share.start, share.stop, size)]
        threads = min(torch.get_num_threads(), len(parts)) if population.device.type == "cpu" else 1
        # Threads that share parts wait for one another once. Those that share an operation wait at each.
        with one_thread():
            found = Team(max(1, threads)).each(of_few, parts)
        return torch.cat(found) if found else torch.zeros(0, len(nodes), dtype=torch.bool)

    return made_in_shares(len(owner), of_share, ranks, size)


def _at_once(population: Population, prefixes: Prefixes) -> int:
    """How many branches to run at a time."""
    floats = CHUNK_FLOATS if population.device.type == "cpu" else CHUNK_FLOATS_ON_GPU
    return max(1, floats // (max(prefixes.sizes) * population.widest))
