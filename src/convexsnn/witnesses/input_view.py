"""How first layers see the input: in units of its own spread, and at several steps at once.

Both become a part of the network, which then sees the input as it is. So raw input in any units needs no scaler.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.network import Branch, Hidden, Layer, delayed, without_delays
from convexsnn.sequences import Sequences


@dataclass(frozen=True, eq=False)
class InputView:
    """Each feature less its centre and in units of its spread, now and some steps ago.

    Attributes
    ----------
    centre : float64 tensor of shape (d,)
    spread : float64 tensor of shape (d,)
        More than 0.
    delays : tuple of int
        The features are seen this many steps ago, side by side; zero before the first step.
    """

    centre: Tensor
    spread: Tensor
    delays: tuple[int, ...] = (0,)

    @classmethod
    def of(cls, sequences: Sequences, *, centred: bool = True) -> InputView:
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
    def as_is(cls, n_features: int) -> InputView:
        """The input as it is."""
        return cls(torch.zeros(n_features, dtype=torch.float64), torch.ones(n_features, dtype=torch.float64))

    @property
    def plain(self) -> bool:
        """Whether this is the input as it is."""
        return self.delays == (0,) and not bool(self.centre.any()) and bool((self.spread == 1.0).all())

    def applied(self, sequences: Sequences) -> Sequences:
        """The sequences as they are seen, (n, T, len(delays) * d); what is beyond their ends stays zero."""
        centre, spread, shown = self.centre.to(sequences.values), self.spread.to(sequences.values), sequences.shown
        values = torch.where(shown.unsqueeze(2), (sequences.values - centre) / spread, 0.0)
        return Sequences(torch.where(shown.unsqueeze(2), delayed(values, self.delays, time=1), 0.0), sequences.lengths)

    def inside(self, hidden: Hidden) -> Hidden:
        """The network that does on the input what `hidden` does on it as it is seen, but for rounding.

        Raises
        ------
        ValueError
            When a first layer has delays, and there is a centre to take off: what such a layer sees before the first
            step is zero, with or without that.
        """
        if self.plain:
            return hidden
        return replace(hidden, n_features=len(self.centre), branches=tuple(map(self._branch, hidden.branches)))

    def _branch(self, branch: Branch) -> Branch:
        first = self._with_delays(branch.layers[0])
        weight = first.weight / self.spread.to(first.weight).repeat(len(first.delays)).unsqueeze(1)
        first = replace(first, weight=weight)
        if bool(self.centre.any()):
            without_delays(first, "input less its mean (standardise)")
            bias = -(self.centre.to(weight) @ weight)
            first = replace(first, bias=bias if first.bias is None else first.bias + bias)
        return Branch((first, *branch.layers[1:]), branch.readout_bias)

    def _with_delays(self, layer: Layer) -> Layer:
        """The layer with the delays, unless it has some of its own; one that sees nothing needs none."""
        if self.delays == (0,):
            return layer
        if not bool(layer.weight.any()):
            return replace(layer, weight=layer.weight[: len(self.centre)])
        return replace(without_delays(layer, "input seen at several steps"), delays=self.delays)

    def blind(self, hidden: Hidden) -> Hidden:
        """The inverse of `inside` for networks that see nothing of the input, such as an always-firing neuron."""
        n_features = len(self.delays) * len(self.centre)
        branches = []
        for branch in hidden.branches:
            first = branch.layers[0]
            first = replace(first, weight=first.weight.new_zeros(n_features, first.m))
            branches.append(Branch((first, *branch.layers[1:]), branch.readout_bias))
        return replace(hidden, n_features=n_features, branches=tuple(branches))
