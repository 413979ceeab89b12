"""One layer over all steps at once, with a gradient: the exact dynamics forward, a surrogate backward.

The loops over time are written out by hand, forward and backward, with the current of all steps given: automatic
differentiation of one small operation after another takes several times as long. So the dynamics of `LIF.step` stand
here once more, with a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, assert_never

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from convexsnn.neurons import Reset
from convexsnn.surrogate.shapes import SurrogateShape


@dataclass(frozen=True)
class ScanSettings:
    """What of a scan has no gradient.

    Attributes
    ----------
    reset : {"soft", "hard", "none", "delayed"}
        As in `convexsnn.LIF`; threshold units are LIF neurons of leak 0, threshold 0 and reset "none".
    surrogate : SurrogateShape
    detach_reset : bool
        No gradient through the spike in the reset (it does go through a layer's recurrent weights).
    """

    reset: Reset
    surrogate: SurrogateShape
    detach_reset: bool


class Scanned(NamedTuple):
    """Spikes (0 or 1) and membranes after reset of every step, both float tensors of shape (T, n, m)."""

    spikes: Tensor
    membrane: Tensor


def scan(current: Tensor, recurrent: Tensor | None, leak: Tensor, threshold: Tensor, settings: ScanSettings) -> Scanned:
    """Run a layer from zero state.

    Parameters
    ----------
    current : float tensor of shape (T, n, m)
        h_below,t @ W_in + b.
    recurrent : float tensor of shape (m, m), optional
        W_rec.
    leak, threshold : float tensors of shape (m,)
    settings : ScanSettings
    """
    return Scanned(*_Scan.apply(current, recurrent, leak, threshold, settings))


class Heaviside(Function):
    """1[x >= 0] with a surrogate derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: SurrogateShape) -> Tensor:
        """Zeros and ones."""
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x >= 0.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The derivative of the surrogate."""
        (x,) = ctx.saved_tensors
        return gradients[0] * ctx.surrogate.derivative(x), None


class _Scan(Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, recurrent: Tensor | None, leak: Tensor, threshold: Tensor, settings: ScanSettings
    ) -> tuple[Tensor, Tensor]:
        potential, spikes = torch.empty_like(current), torch.empty_like(current)
        membrane = torch.empty_like(current)
        v = torch.zeros_like(current[0])
        for t, pot in enumerate(potential):
            torch.addcmul(current[t], v, leak, out=pot)
            if recurrent is not None and t > 0:
                pot.addmm_(spikes[t - 1], recurrent)
            if settings.reset == "delayed":
                pot.addcmul_(_reset_late(spikes, threshold, t), threshold, value=-1.0)
            torch.ge(pot, threshold, out=spikes[t])
            v = _reset(settings.reset, pot, spikes[t], threshold, membrane[t])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(potential, spikes, membrane, recurrent, leak, threshold)
        ctx.settings = settings
        return spikes, membrane

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        settings: ScanSettings = ctx.settings
        of_spikes, of_membrane = gradients
        potential, spikes, membrane, recurrent, leak, threshold = ctx.saved_tensors
        bump = settings.surrogate.derivative(potential - threshold)
        flow = torch.empty_like(potential)  # with respect to the potential before reset, which is that of the current
        onward = torch.zeros_like(potential[0])  # with respect to the membrane, from the steps after
        nothing = torch.zeros_like(potential[0])
        through = not settings.detach_reset
        of_threshold = torch.zeros_like(threshold)
        for t in range(len(flow) - 1, -1, -1):
            of_v = onward if of_membrane is None else onward.add_(of_membrane[t])
            of_s = nothing if of_spikes is None else of_spikes[t]
            if t + 1 < len(flow):
                if recurrent is not None:
                    of_s = torch.addmm(of_s, flow[t + 1], recurrent.T)
                if settings.reset == "delayed" and through:
                    of_s = torch.addcmul(of_s, flow[t + 1], threshold, value=-1.0)
            if through and settings.reset == "soft":
                of_s = torch.addcmul(of_s, of_v, threshold, value=-1.0)
            elif through and settings.reset == "hard":
                of_s = torch.addcmul(of_s, of_v, potential[t], value=-1.0)
            kept = of_v * (1.0 - spikes[t]) if settings.reset == "hard" else of_v
            torch.addcmul(kept, of_s, bump[t], out=flow[t])
            if ctx.needs_input_grad[3]:
                of_threshold -= (of_s * bump[t]).sum(dim=0)
                if settings.reset == "soft":
                    of_threshold -= (of_v * spikes[t]).sum(dim=0)
                elif settings.reset == "delayed":
                    of_threshold -= (flow[t] * _reset_late(spikes, threshold, t)).sum(dim=0)
            onward = flow[t] * leak
        of_leak = (flow[1:] * membrane[:-1]).sum(dim=(0, 1)) if ctx.needs_input_grad[2] else None
        of_recurrent = None
        if recurrent is not None and ctx.needs_input_grad[1]:
            of_recurrent = spikes[:-1].flatten(0, 1).T @ flow[1:].flatten(0, 1)
        return flow, of_recurrent, of_leak, of_threshold if ctx.needs_input_grad[3] else None, None


def _reset_late(spikes: Tensor, threshold: Tensor, t: int) -> Tensor:
    """1 where the membrane kept from the step before has reached the threshold; before the first step it is zero."""
    return spikes[t - 1] if t > 0 else (threshold <= 0.0).to(spikes.dtype).expand_as(spikes[0])


def _reset(reset: Reset, potential: Tensor, spikes: Tensor, threshold: Tensor, out: Tensor) -> Tensor:
    """The membrane after reset, written to `out`. A reset that is not known here does not get as far as `backward`."""
    match reset:
        case "soft":
            return torch.addcmul(potential, spikes, threshold, value=-1.0, out=out)
        case "hard":
            return torch.mul(potential, 1.0 - spikes, out=out)
        case "none" | "delayed":
            return out.copy_(potential)
        case _:
            assert_never(reset)
