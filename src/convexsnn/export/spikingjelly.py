"""SpikingJelly: `LIFNode` and `IFNode`, one a group of neurons that share leak and threshold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convexsnn.caller import isolated
from convexsnn.export.library import library
from convexsnn.export.wiring import ExportedNetwork, refuse, wire
from convexsnn.network import Layer, Network, lif_of


class SpikingJellyCell(nn.Module):
    """Nodes of SpikingJelly, whose leak and threshold are single numbers: each of `nodes` has the neurons of one pair.

    It carries the membrane after reset, node by node, and sets each node's `v` to it at every step. Threshold units are
    nodes that begin from zero at every step, so that their reset changes no spike.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        forgets = bool((lif_of(layer, "export to SpikingJelly").leak == 0.0).all())
        lif = refuse(layer, ("soft", "hard", "none") if forgets else ("soft", "hard"), "SpikingJelly")
        self.unreset = lif.reset == "none"
        v_reset = None if lif.reset == "soft" else 0.0
        pairs = torch.stack([lif.leak, lif.threshold], dim=1).to(torch.float64)
        distinct, group = torch.unique(pairs, dim=0, return_inverse=True)
        self.nodes = nn.ModuleList(_node(leak, threshold, v_reset) for leak, threshold in distinct.tolist())
        self.memoryless = [leak == 0.0 for leak, _ in distinct.tolist()]
        # Neurons of one node side by side, and back.
        order = torch.argsort(group, stable=True)
        self.sizes: list[int] = torch.bincount(group).tolist()
        self.register_buffer("order", order)
        self.register_buffer("back", torch.argsort(order))

    def forward(self, current: Tensor, carried: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002
        """One step; see `wiring`."""
        if len(self.nodes) == 1:
            fired, membrane = self._run(0, current, carried)
            return fired, membrane, membrane
        currents = _pick(current, self.get_buffer("order")).split(self.sizes, dim=1)
        parts = [self._run(g, *own) for g, own in enumerate(zip(currents, carried.split(self.sizes, 1), strict=True))]
        fired, membrane = (torch.cat(own, dim=1) for own in zip(*parts, strict=True))
        back = self.get_buffer("back")
        return _pick(fired, back), membrane, _pick(membrane, back)

    def _run(self, g: int, current: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
        node: Any = self.nodes[g]
        node.v = torch.zeros_like(carried) if self.memoryless[g] else carried
        fired = node(current)
        return fired, current if self.unreset else node.v


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Columns of `values` (n, m); the gradient of an index is far slower on a CPU."""
    return values.gather(1, index.expand(len(values), -1))


def _node(leak: float, threshold: float, v_reset: float | None) -> nn.Module:
    neuron = library("spikingjelly.activation_based.neuron")
    shared: dict[str, Any] = {"v_threshold": threshold, "v_reset": v_reset}
    if leak in (0.0, 1.0):  # LIFNode needs 1 < tau < infinity; without memory, the node starts from zero at every step
        return neuron.IFNode(**shared)
    return neuron.LIFNode(tau=1.0 / (1.0 - leak), decay_input=False, **shared)


@isolated
def to_spikingjelly(network: Network, *, batch_first: bool = False) -> ExportedNetwork:
    """A network as a torch module of SpikingJelly neurons (single-step mode), spike for spike.

    Resets "soft" and "hard" are held, and threshold units. Neurons of different leak or threshold become one node a
    pair of values. SpikingJelly leaks by v - v / tau with tau = 1 / (1 - leak), which is leak * v up to rounding,
    exactly so where 1 - leak is a power of two. Needs the package ``spikingjelly``.

    Parameters
    ----------
    network : Network
        Copied; the module is in its dtype.
    batch_first : bool
        The module takes (n, T, d) instead of (T, n, d).

    Returns
    -------
    ExportedNetwork
        Each layer's nodes are ``branches[k].layers[i].cell.nodes``.

    Raises
    ------
    ValueError
        When the network has no neurons, or neurons of reset "delayed", or "none" with a leak.
    """
    return wire(network, SpikingJellyCell, batch_first=batch_first)
