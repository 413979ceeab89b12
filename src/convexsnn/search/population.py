"""Many small branches of one shape, run and scored at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.network import Branch, Layer, Readout
from convexsnn.neurons import LIF, Reset, Threshold
from convexsnn.search.prefixes import Prefixes

# Floats of one layer's membranes held at a time: beyond the cache every step costs several times as much.
CHUNK_FLOATS = 2**18


@dataclass(frozen=True, eq=False)
class StackedLayer:
    """The same layer of B branches. Threshold units are LIF neurons of leak 0, threshold 0 and no reset.

    Attributes
    ----------
    weight : float tensor of shape (B, n_in, m)
    recurrent : float tensor of shape (B, m, m), or None
    bias : float tensor of shape (B, m), or None
    leak, threshold : float tensors of shape (B, m)
    """

    weight: Tensor
    recurrent: Tensor | None
    bias: Tensor | None
    leak: Tensor
    threshold: Tensor

    def map(self, function) -> StackedLayer:
        """`function` of every tensor."""
        given: dict = {name: None if tensor is None else function(tensor) for name, tensor in vars(self).items()}
        return StackedLayer(**given)


@dataclass(frozen=True, eq=False)
class Population:
    """B branches of one shape.

    Attributes
    ----------
    layers : tuple of StackedLayer
        First to last.
    neuron : {"lif", "threshold"}
    reset : {"soft", "hard", "none", "delayed"}
    readout : {"spike", "membrane"}
    """

    layers: tuple[StackedLayer, ...]
    neuron: str
    reset: Reset
    readout: Readout

    def __len__(self) -> int:
        return len(self.layers[0].weight)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.layers[0].weight.device

    @property
    def m_last(self) -> int:
        """Neurons of a branch's last layer."""
        return self.layers[-1].leak.shape[1]

    def map(self, function) -> Population:
        """`function` of every tensor."""
        return replace(self, layers=tuple(layer.map(function) for layer in self.layers))

    def take(self, index: Tensor | slice) -> Population:
        """The branches named by `index`."""
        return self.map(lambda tensor: tensor[index])

    def with_last(self, layer: StackedLayer) -> Population:
        """The same branches with another last layer."""
        return replace(self, layers=(*self.layers[:-1], layer))

    def with_first_weight(self, weight: Tensor) -> Population:
        """The same branches with other weights (B, d, m) from the input."""
        return replace(self, layers=(replace(self.layers[0], weight=weight), *self.layers[1:]))

    def branch(self, b: int, dtype: torch.dtype) -> Branch:
        """Branch number `b` as data."""
        return Branch(tuple(self._layer(layer, b, dtype) for layer in self.layers))

    def _layer(self, layer: StackedLayer, b: int, dtype: torch.dtype) -> Layer:
        def pick(tensor: Tensor) -> Tensor:
            return tensor[b].to(dtype, copy=True)

        lif = self.neuron == "lif"
        neuron = LIF(pick(layer.leak), pick(layer.threshold), self.reset) if lif else Threshold()
        recurrent = None if layer.recurrent is None else pick(layer.recurrent)
        return Layer(pick(layer.weight), neuron, recurrent, None if layer.bias is None else pick(layer.bias))


def join(*parts: Population) -> Population:
    """Several populations of one shape as one."""

    def together(same: tuple[StackedLayer, ...]) -> StackedLayer:
        columns = {name: [getattr(layer, name) for layer in same] for name in StackedLayer.__dataclass_fields__}
        joined: dict = {name: None if tensors[0] is None else torch.cat(tensors) for name, tensors in columns.items()}
        return StackedLayer(**joined)

    return replace(parts[0], layers=tuple(map(together, zip(*(part.layers for part in parts), strict=True))))


@torch.no_grad()
def features(population: Population, prefixes: Prefixes) -> Iterator[tuple[int, Tensor]]:
    """What the output sees at each step that is read: (t, tensor of zeros and ones of shape (B, u_t, m)).

    The tensor is overwritten by the next step.
    """
    states: list[tuple[Tensor, Tensor]] = []
    for t, (x, parent) in enumerate(zip(prefixes.values, prefixes.parents, strict=True)):
        below = x.to(population.device).expand(len(population), *x.shape)
        after = []
        for i, layer in enumerate(population.layers):
            before = None if t == 0 else states[i]
            if before is not None and parent is not None:
                index = parent.to(population.device)
                before = before[0].index_select(1, index), before[1].index_select(1, index)
            after.append(_step(layer, population.reset, below, before))
            below = after[-1][1]
        states = after
        if prefixes.read[t]:
            membrane, spikes = states[-1]
            yield t, spikes if population.readout == "spike" else (membrane >= 0.0).to(membrane.dtype)


def _step(
    layer: StackedLayer, reset: Reset, below: Tensor, before: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Membrane after reset and spikes of one step; reuses the memory of the state before."""
    leak, threshold = layer.leak.unsqueeze(1), layer.threshold.unsqueeze(1)
    potential = (
        torch.bmm(below, layer.weight)
        if layer.bias is None
        else torch.baddbmm(layer.bias.unsqueeze(1), below, layer.weight)
    )
    if before is None:
        spikes = torch.empty_like(potential)
        if reset == "delayed":
            potential.sub_((threshold <= 0.0).to(potential.dtype) * threshold)
    else:
        membrane, spikes = before
        if reset == "delayed":
            potential.addcmul_((membrane >= threshold).to(potential.dtype), threshold, value=-1.0)
        potential.addcmul_(membrane, leak)
        if layer.recurrent is not None:
            potential.baddbmm_(spikes, layer.recurrent)
    torch.ge(potential, threshold, out=spikes)
    if reset == "soft":
        potential.addcmul_(spikes, threshold, value=-1.0)
    elif reset == "hard":
        potential.addcmul_(potential, spikes, value=-1.0)
    return potential, spikes


def correlate(population: Population, prefixes: Prefixes, U: Tensor) -> Tensor:
    """d^T U of every last-layer neuron: float tensor of shape (B, m, C).

    Parameters
    ----------
    population : Population
    prefixes : Prefixes
    U : float tensor of shape (rows, C)
    """
    at_step = prefixes.gather(U.to(population.device, population.layers[0].weight.dtype))
    widest = max(layer.leak.shape[1] for layer in population.layers)
    size = max(1, CHUNK_FLOATS // (max(prefixes.sizes) * widest))
    parts = []
    for start in range(0, len(population), size):
        part = population.take(slice(start, start + size))
        total = U.new_zeros(len(part), part.m_last, U.shape[1]).to(part.device, part.layers[0].weight.dtype)
        for t, seen in features(part, prefixes):
            total.baddbmm_(seen.transpose(1, 2), at_step[t].expand(len(part), *at_step[t].shape))
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
    parts, size = [], max(1, CHUNK_FLOATS // max(prefixes.sizes))
    for start in range(0, len(owner), size):
        wanted, place = owner[start : start + size].unique(return_inverse=True)
        part, chosen = population.take(wanted), neuron[start : start + size]
        nodes = torch.zeros(len(place), prefixes.n_nodes, dtype=torch.bool)
        ends = torch.tensor(prefixes.sizes).cumsum(0).tolist()
        for t, seen in features(part, prefixes):
            nodes[:, ends[t] - len(prefixes.values[t]) : ends[t]] = seen[place, :, chosen].cpu() > 0.0
        parts.append(nodes[:, prefixes.node_of_row])
    return torch.cat(parts) if parts else torch.zeros(0, len(prefixes.node_of_row), dtype=torch.bool)
