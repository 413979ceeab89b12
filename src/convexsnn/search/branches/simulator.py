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

from convexsnn.neurons import Reset
from convexsnn.prefixes import Prefixes
from convexsnn.readouts import Membrane
from convexsnn.search.branches.population import Population, StackedLayer

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


def correlate(population: Population, prefixes: Prefixes, U: Tensor) -> Tensor:
    """d^T U of every last-layer neuron: float tensor of shape (B, m, C).

    Parameters
    ----------
    population : Population
    prefixes : Prefixes
    U : float tensor of shape (rows, C)
    """
    at_step = prefixes.gather(U.to(population.device, population.layers[0].weight.dtype))
    size, parts = _at_once(population, prefixes), []
    for start in range(0, len(population), size):
        part = population.take(slice(start, start + size))
        total = part.layers[0].weight.new_zeros(len(part), part.m_last, U.shape[1])
        for t, seen in features(part, prefixes):
            total.baddbmm_(seen, at_step[t].expand(len(part), *at_step[t].shape))
        parts.append(total)
    return torch.cat(parts)


def columns(population: Population, owner: Tensor, neuron: Tensor, prefixes: Prefixes) -> Tensor:
    """The columns of chosen last-layer neurons.

    Parameters
    ----------
    population : Population
    owner, neuron : int64 tensors of shape (P,)
        Branch, and place in its last layer, of each.
    prefixes : Prefixes
        Values in the population's dtype.

    Returns
    -------
    bool tensor of shape (P, rows)
    """
    size, parts = _at_once(population, prefixes), []
    for start in range(0, len(owner), size):
        wanted, place = owner[start : start + size].unique(return_inverse=True)
        part, chosen = population.take(wanted), neuron[start : start + size]
        nodes = torch.zeros(len(place), prefixes.n_nodes, dtype=torch.bool)
        ends = torch.tensor(prefixes.sizes).cumsum(0).tolist()
        for t, seen in features(part, prefixes):
            nodes[:, ends[t] - len(prefixes.values[t]) : ends[t]] = seen[place, chosen].cpu() > 0.0
        parts.append(nodes[:, prefixes.node_of_row])
    return torch.cat(parts) if parts else torch.zeros(0, len(prefixes.node_of_row), dtype=torch.bool)


def _at_once(population: Population, prefixes: Prefixes) -> int:
    """How many branches to run at a time."""
    widest = max(layer.leak.shape[1] for layer in population.layers)
    floats = CHUNK_FLOATS if population.device.type == "cpu" else CHUNK_FLOATS_ON_GPU
    return max(1, floats // (max(prefixes.sizes) * widest))
