"""Input in units of its own spread, made a part of the first layers: then raw input in any units needs no scaler."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.network import Branch, Hidden, without_delays
from convexsnn.sequences import Sequences


@dataclass(frozen=True, eq=False)
class InputUnits:
    """Each feature less its mean in training, in units of its standard deviation there.

    Attributes
    ----------
    centre : float64 tensor of shape (d,)
    spread : float64 tensor of shape (d,)
        More than 0.
    """

    centre: Tensor
    spread: Tensor

    @classmethod
    def of(cls, sequences: Sequences, *, centred: bool = True) -> InputUnits:
        """Mean and standard deviation over all steps; where not `centred` the mean stays as it is.

        A constant feature has the unit 1, and is 0 after its mean is taken off. A feature that is 0 or 1 everywhere is
        a bit, and stays as it is.
        """
        shown = sequences.values[sequences.shown].to("cpu", torch.float64)
        deviation, bits = shown.std(dim=0, correction=0), ((shown == 0.0) | (shown == 1.0)).all(dim=0)
        # Rounding gives a constant feature a deviation of about the last bit of its value.
        constant = (shown == shown[0]).all(dim=0) | (deviation == 0.0)
        centre = torch.where(constant, shown[0], shown.mean(dim=0))
        kept = torch.where(bits, 0.0, centre) if centred else torch.zeros_like(centre)
        return cls(kept, torch.where(bits | constant, 1.0, deviation))

    @classmethod
    def as_is(cls, n_features: int) -> InputUnits:
        """Those of the input as it is."""
        return cls(torch.zeros(n_features, dtype=torch.float64), torch.ones(n_features, dtype=torch.float64))

    @property
    def plain(self) -> bool:
        """Whether these are the units of the input as it is."""
        return not bool(self.centre.any()) and bool((self.spread == 1.0).all())

    def applied(self, sequences: Sequences) -> Sequences:
        """The sequences in these units; what is beyond their ends stays zero."""
        centre, spread = self.centre.to(sequences.values), self.spread.to(sequences.values)
        values = (sequences.values - centre) / spread
        return Sequences(torch.where(sequences.shown.unsqueeze(2), values, 0.0), sequences.lengths)

    def inside(self, hidden: Hidden) -> Hidden:
        """The network that does on the input as it is what `hidden` does on input in these units, but for rounding.

        Raises
        ------
        ValueError
            When a first layer has delays, and there is a mean to take off: what such a layer sees before the first step
            is zero, with or without that.
        """
        if self.plain:
            return hidden
        return replace(hidden, branches=tuple(map(self._branch, hidden.branches)))

    def _branch(self, branch: Branch) -> Branch:
        first = branch.layers[0]
        weight = first.weight / self.spread.to(first.weight).repeat(len(first.delays)).unsqueeze(1)
        first = replace(first, weight=weight)
        if bool(self.centre.any()):
            without_delays(first, "input less its mean (standardise)")
            bias = -(self.centre.to(weight) @ weight)
            first = replace(first, bias=bias if first.bias is None else first.bias + bias)
        return Branch((first, *branch.layers[1:]), branch.readout_bias)
