"""Norse: `LIFBoxCell`, whose input is multiplied by 1 - leak: the weights are divided by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from convexsnn.caller import isolated
from convexsnn.export.library import library
from convexsnn.export.wiring import ExportedNetwork, below, refuse, wire
from convexsnn.network import Layer, Network
from convexsnn.neurons import LIF

# How many numbers a threshold is lowered where dividing weights by 1 - leak rounds: a potential that reaches the
# threshold exactly may come out this much short of it.
ROUNDING_STEPS = 16


class Subtract:
    """A reset method of Norse that subtracts the threshold itself, not the lowered one."""

    def __init__(self, threshold: Tensor) -> None:
        self.threshold = threshold

    def __call__(self, z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:  # noqa: ARG002
        """The membrane after reset."""
        return v - z * self.threshold


def keep(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:  # noqa: ARG001
    """A reset method of Norse: none."""
    return v


class NorseCell(nn.Module):
    """A `neuron` of Norse; it carries the membrane after reset."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        box = library("norse.torch.functional.lif_box")
        lif = _checked(layer)
        match lif.reset:
            case "soft":
                reset: Any = Subtract(lif.threshold.clone())
            case "hard":
                reset = library("norse.torch.functional.reset").reset_value
            case "none" | "delayed":  # delayed: by recurrent weights, see `scaled`
                reset = keep
            case _:
                assert_never(lif.reset)
        zeros = torch.zeros_like(lif.threshold)
        settings = {"v_leak": zeros, "v_th": lowered(lif), "v_reset": zeros, "reset_method": reset}
        p = box.LIFBoxParameters(tau_mem_inv=1.0 - lif.leak, **settings)
        self._state = box.LIFBoxFeedForwardState
        self.neuron: Any = library("norse.torch.module.lif_box").LIFBoxCell(p, dt=1.0)

    def forward(self, current: Tensor, carried: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002
        """One step; see `wiring`."""
        fired, state = self.neuron(current, self._state(v=carried))
        return fired, state.v, state.v


def scaled(layer: Layer) -> Layer:
    """`layer` with all that flows in divided by 1 - leak, and a delayed reset as recurrent weights."""
    lif = _checked(layer)
    gain = 1.0 - lif.leak
    recurrent = layer.recurrent
    if lif.reset == "delayed":
        late = torch.diag(-lif.threshold)
        recurrent = late if recurrent is None else recurrent + late
    divide = lambda tensor: None if tensor is None else tensor / gain  # noqa: E731
    return replace(layer, weight=layer.weight / gain, recurrent=divide(recurrent), bias=divide(layer.bias))


def lowered(lif: LIF) -> Tensor:
    """Thresholds for a target that fires on > and multiplies its input by 1 - leak."""
    return torch.where(divides_exactly(lif), below(lif.threshold), below(lif.threshold, ROUNDING_STEPS))


def lowered_bias(layer: Layer, bias: Tensor) -> Tensor:
    """Bias of the membrane readout, lowered like the thresholds: a membrane that equals it may come out lower."""
    lif = _checked(layer)
    size = torch.maximum(bias.abs(), lif.threshold.abs())
    return torch.where(divides_exactly(lif), bias, bias - ROUNDING_STEPS * torch.finfo(bias.dtype).eps * size)


def divides_exactly(lif: LIF) -> Tensor:
    """Where 1 - leak is a power of two: dividing by it does not round."""
    return torch.frexp(1.0 - lif.leak).mantissa == 0.5


def _checked(layer: Layer) -> LIF:
    lif = refuse(layer, ("soft", "hard", "none", "delayed"), "Norse")
    if bool((lif.leak == 1.0).any()):
        raise ValueError(
            "Norse's LIFBoxCell multiplies its input by 1 - leak, so leak 1 has no input: use to_torch, to_snntorch or "
            "to_spikingjelly"
        )
    return lif


@isolated
def to_norse(network: Network, *, batch_first: bool = False) -> ExportedNetwork:
    """A network as a torch module of Norse's `LIFBoxCell`, spike for spike; leak 1 is refused.

    Norse multiplies its input by 1 - leak, so weights are divided by it. Norse fires above the threshold, so thresholds
    are lowered to the next number below. Where 1 - leak is not a power of two the division rounds, and thresholds are
    lowered by 16 numbers instead of one. Times are in steps (dt = 1). Needs the package ``norse``. Norse keeps a cell's
    parameters outside the module: `module.to` moves the weights only, so export ``network.to(device)`` for another
    device.

    Parameters
    ----------
    network : Network
        Copied; the module is in its dtype.
    batch_first : bool
        The module takes (n, T, d) instead of (T, n, d).

    Returns
    -------
    ExportedNetwork
        Each layer's cell of Norse is ``branches[k].layers[i].cell.neuron``.

    Raises
    ------
    ValueError
        When the network has no neurons, or one of them leak 1.
    """
    return wire(network, NorseCell, prepare=scaled, prepare_bias=lowered_bias, batch_first=batch_first)
