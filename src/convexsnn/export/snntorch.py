"""snnTorch: `Leaky`, `RLeaky` and `Synaptic`, exact for every reset although they fire on >."""

from __future__ import annotations

from typing import Any, assert_never

import torch
from torch import Tensor, nn

from convexsnn.caller import isolated
from convexsnn.export.library import library
from convexsnn.export.wiring import ExportedNetwork, below, refuse, wire
from convexsnn.network import Layer, Network
from convexsnn.neurons import Synaptic


class SnnTorchCell(nn.Module):
    """A `neuron` of snnTorch: it carries its potential before reset, as snnTorch resets in the step after.

    "hard" and "none" are its `Leaky`, "soft" a subclass (`SoftLeaky`), "delayed" is ``RLeaky(V=-threshold)`` without
    reset: snnTorch's own "subtract" would take off the lowered threshold.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        snn = library("snntorch")
        lif = refuse(layer, ("soft", "hard", "none", "delayed"), "snnTorch")
        if lif.reset == "soft" and bool((lif.threshold < 0).any()):
            raise ValueError(
                "snnTorch holds reset 'soft' for nonnegative thresholds only, as it takes a membrane of zero that is "
                "above its threshold for one that has just fired: use to_torch, to_spikingjelly or to_norse"
            )
        self.reset = lif.reset
        self.feedback = lif.reset == "delayed"
        self.register_buffer("theta", lif.threshold.clone())
        shared: dict[str, Any] = {"beta": lif.leak.clone(), "threshold": below(lif.threshold)}
        match lif.reset:
            case "soft":
                soft = library("convexsnn.export.snntorch_neuron").SoftLeaky
                self.neuron: Any = soft(lif.threshold.clone(), **shared)
            case "delayed":
                V = -lif.threshold
                self.neuron = snn.RLeaky(V=V, all_to_all=False, learn_recurrent=False, reset_mechanism="none", **shared)
            case "hard":
                self.neuron = snn.Leaky(reset_mechanism="zero", **shared)
            case "none":
                self.neuron = snn.Leaky(reset_mechanism="none", **shared)
            case _:
                assert_never(lif.reset)

    def forward(self, current: Tensor, carried: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step; see `wiring`."""
        fired, potential = self.neuron(current, spikes, carried) if self.feedback else self.neuron(current, carried)
        fired = fired.to(current.dtype)  # snnTorch's spikes are float32
        match self.reset:
            case "soft":
                return fired, potential, potential - fired * self.theta
            case "hard":
                return fired, potential, potential * (1.0 - fired)
            case _:
                return fired, potential, potential


class SnnTorchSynapticCell(nn.Module):
    """A `neuron` of snnTorch with a synaptic current; carries the membranes of all neurons, then their currents."""

    kept = 2

    def __init__(self, neuron: Synaptic) -> None:
        super().__init__()
        snn = library("snntorch")
        leaks = {"alpha": neuron.synapse_leak.clone(), "beta": neuron.leak.clone()}
        shared: dict[str, Any] = leaks | {"threshold": below(neuron.threshold)}
        match neuron.reset:
            case "delayed":
                late = library("convexsnn.export.snntorch_neuron").LateSynaptic
                self.neuron: Any = late(neuron.threshold.clone(), **shared)
            case "refractory":
                self.neuron = snn.Synaptic(reset_mechanism="zero", **shared)
            case "hard" if bool((neuron.threshold > 0).all()):
                self.neuron = snn.Synaptic(reset_mechanism="zero", reset_delay=False, **shared)
            case "hard":
                raise ValueError("snnTorch holds synaptic neurons of reset 'hard' for positive thresholds only")
            case "none":
                self.neuron = snn.Synaptic(reset_mechanism="none", **shared)
            case _:
                assert_never(neuron.reset)

    def forward(self, current: Tensor, carried: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002
        """One step; see `wiring`."""
        m = current.shape[1]
        fired, synapse, membrane = self.neuron(current, carried[:, m:], carried[:, :m])
        return fired.to(current.dtype), torch.cat([membrane, synapse], dim=1), membrane


def _cell(layer: Layer) -> nn.Module:
    return SnnTorchSynapticCell(layer.neuron) if isinstance(layer.neuron, Synaptic) else SnnTorchCell(layer)


@isolated
def to_snntorch(network: Network, *, batch_first: bool = False) -> ExportedNetwork:
    """A network as a torch module of snnTorch neurons, spike for spike; all resets of ours are held.

    Thresholds are lowered to the next number below, as snnTorch fires on >. Needs the package ``snntorch``.

    Parameters
    ----------
    network : Network
        Copied; the module is in its dtype.
    batch_first : bool
        The module takes (n, T, d) instead of (T, n, d).

    Returns
    -------
    ExportedNetwork
        Each layer's neuron is ``branches[k].layers[i].cell.neuron``.

    Raises
    ------
    ValueError
        When the network has no neurons, or a layer of reset "delayed" a threshold that is not positive, or one of reset
        "soft" a negative one.
    """
    with torch.no_grad():
        return wire(network, _cell, batch_first=batch_first)
