"""Readouts over time that are linear in the readout weights, and what one column of the dictionary then is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.checks import check_choice, check_real

POOLINGS = ("last", "count", "mean", "leaky")


@dataclass(frozen=True)
class Pooling:
    """How outputs at T steps become one: y = sum_t a_t (W s_t + b), so W reads sum_t a_t s_t.

    Attributes
    ----------
    kind : {"last", "count", "mean", "leaky"}
        a_T = 1 alone; a_t = 1; a_t = 1 / T; a_t = leak^(T - t), a leaky integrator read at the last step. T is the
        length of each sequence where lengths are given.
    leak : float, optional
        The leak of "leaky", in [0, 1].
    every_step : bool
        Whether every step is read on its own, as the last of the steps so far; only with "last".
    """

    kind: str = "last"
    leak: float | None = None
    every_step: bool = False

    def __post_init__(self) -> None:
        if self.kind == "max":
            raise ValueError(
                "pooling 'max': the maximum over steps is not linear in the readout's weights, and the convex program "
                f"does not cover it; covered are {', '.join(map(repr, POOLINGS))}"
            )
        check_choice("pooling", self.kind, POOLINGS)
        if (self.kind == "leaky") != (self.leak is not None):
            raise ValueError("leak must be given with pooling='leaky', and with no other pooling")
        if self.leak is not None:
            check_real("leak", self.leak, 0.0, 1.0)
        if self.every_step and self.kind != "last":
            raise ValueError(f"pooling must be 'last' where there is one label a step, got {self.kind!r}")

    def __str__(self) -> str:
        return f"pooling={self.kind!r}" + ("" if self.leak is None else f", leak={self.leak:.6g}")

    def planes(self, spikes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Bits (B, rows, F) that with `weights` give the pooled spikes of a bool tensor (T, n, F)."""
        if self.every_step:
            return spikes.transpose(0, 1).flatten(0, 1)[None]
        spikes = _end_together(spikes, lengths)
        if self.kind == "last":
            return spikes[-1:]
        if self.kind == "leaky":
            return spikes
        counts = spikes.sum(dim=0, dtype=torch.int32)
        return torch.stack([(counts >> b) & 1 for b in range(len(spikes).bit_length())]).to(torch.bool)

    def weights(self, steps: int) -> Tensor:
        """The weight of each plane, float64 (B,), of `steps` steps."""
        if self.kind == "last":
            return torch.ones(1, dtype=torch.float64)
        if self.kind == "leaky":
            return self._decay(steps)
        powers = 2.0 ** torch.arange(steps.bit_length(), dtype=torch.float64)
        return powers / steps if self.kind == "mean" else powers

    def reduce(self, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The pooled values (rows, F), float64, of a real tensor (T, n, F)."""
        if self.every_step:
            return values.transpose(0, 1).flatten(0, 1).to(torch.float64)
        values = _end_together(values, lengths)
        if self.kind == "last":
            return values[-1].to(torch.float64)
        weights = self._decay(len(values)) if self.kind == "leaky" else torch.ones(len(values), dtype=torch.float64)
        total = torch.einsum("t,tnf->nf", weights.to(values.device), values.to(torch.float64))
        if self.kind != "mean":
            return total
        return total / len(values) if lengths is None else total / lengths.to(total)[:, None]

    def _decay(self, steps: int) -> Tensor:
        assert self.leak is not None
        return float(self.leak) ** torch.arange(steps - 1, -1, -1, dtype=torch.float64)


def _end_together(values: Tensor, lengths: Tensor | None) -> Tensor:
    """Sequences (T, n, F) moved so that each ends at the last step, with zeros before it."""
    if lengths is None:
        return values
    steps = len(values)
    if int(lengths.max()) > steps:
        raise ValueError(f"lengths reach {int(lengths.max())}, but the batch has {steps} steps")
    source = torch.arange(steps)[:, None] - (steps - lengths)[None]
    index = source.clamp(min=0).to(values.device)[:, :, None].expand_as(values)
    return values.gather(0, index) * (source >= 0).to(values.device, values.dtype)[:, :, None]
