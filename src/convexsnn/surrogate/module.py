"""A network of ours as a torch module that can be trained, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from convexsnn.network import Branch, Layer, Network, delayed, lif_of
from convexsnn.neurons import LIF, Threshold
from convexsnn.surrogate.columns import check_readout, columns_of, last_layers
from convexsnn.surrogate.scan import Heaviside, Scanned, ScanSettings, scan
from convexsnn.surrogate.shapes import SurrogateShape


@dataclass(frozen=True)
class Gradients:
    """What has a gradient, and which.

    Attributes
    ----------
    surrogate : SurrogateShape
    detach_reset : bool
        No gradient passes through the spike in the reset.
    learn_leak, learn_threshold : bool
        Leaks and thresholds of LIF neurons are trained too, one value for each neuron.
    """

    surrogate: SurrogateShape
    detach_reset: bool = True
    learn_leak: bool = False
    learn_threshold: bool = False


class TrainableLayer(nn.Module):
    """One hidden layer of LIF neurons, or of threshold units as LIF neurons (`lif_of`); ValueError for other kinds."""

    def __init__(self, layer: Layer, gradients: Gradients, dtype: torch.dtype) -> None:
        super().__init__()
        self._template = layer
        neuron, learned = lif_of(layer, "surrogate-gradient training"), isinstance(layer.neuron, LIF)
        self.settings = ScanSettings(neuron.reset, gradients.surrogate, gradients.detach_reset)
        self.weight = nn.Parameter(layer.weight.to(dtype, copy=True))
        self.recurrent = None if layer.recurrent is None else nn.Parameter(layer.recurrent.to(dtype, copy=True))
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.to(dtype, copy=True))
        leak, threshold = (tensor.to(dtype, copy=True) for tensor in (neuron.leak, neuron.threshold))
        self.leak = nn.Parameter(leak, requires_grad=learned and gradients.learn_leak)
        self.threshold = nn.Parameter(threshold, requires_grad=learned and gradients.learn_threshold)

    def forward(self, below: Tensor) -> Scanned:
        """Spikes and membranes of all steps, from `below` of shape (T, n, n_in)."""
        # One product for all steps: the time of a network without recurrence is that of its matrix products.
        seen = delayed(below, self._template.delays, time=0)
        current = (seen.flatten(0, 1) @ self.weight).unflatten(0, seen.shape[:2])
        if self.bias is not None:
            current = current + self.bias
        if isinstance(self._template.neuron, Threshold) and self.recurrent is None:  # nothing is kept between steps
            return Scanned(Heaviside.apply(current, self.settings.surrogate), current)
        return scan(current, self.recurrent, self.leak, self.threshold, self.settings)

    @torch.no_grad()
    def clamp_(self) -> None:
        """Put learned leaks back into [0, 1]."""
        self.leak.clamp_(0.0, 1.0)

    def to_layer(self) -> Layer:
        """The layer as data, in the dtype it came in."""
        given = self._template
        plain = lambda tensor: tensor.detach().to(given.weight.dtype, copy=True)  # noqa: E731
        neuron = given.neuron
        if isinstance(neuron, LIF):  # threshold units have nothing to learn but their weights
            leak = plain(self.leak) if self.leak.requires_grad else neuron.leak
            threshold = plain(self.threshold) if self.threshold.requires_grad else neuron.threshold
            neuron = LIF(leak.to(self.weight.device), threshold.to(self.weight.device), neuron.reset)
        recurrent = None if self.recurrent is None else plain(self.recurrent)
        bias = None if self.bias is None else plain(self.bias)
        return Layer(plain(self.weight), neuron, recurrent, bias, given.delays)


class TrainableNetwork(nn.Module):
    """A `Network` whose weights have gradients: scores of a batch of padded sequences.

    Parameters
    ----------
    network : Network
        Of LIF neurons and threshold units, with or without delays, read by any readout of ours; ValueError for other
        kinds. Copied; the module begins as this network.
    gradients : Gradients
    dtype : torch.dtype
        Arithmetic of training. The network that comes back is defined in its own dtype, and may spike differently
        where a potential comes within rounding of its threshold.
    """

    def __init__(self, network: Network, gradients: Gradients, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        hidden = network.hidden
        self._template = hidden
        check_readout(hidden.readout)
        self.surrogate = gradients.surrogate
        self.branches = nn.ModuleList(
            nn.ModuleList(TrainableLayer(layer, gradients, dtype) for layer in branch.layers)
            for branch in hidden.branches
        )
        self.readout_bias = nn.ParameterList(
            torch.zeros(b.last.m, dtype=dtype, device=b.last.weight.device)
            if b.readout_bias is None
            else b.readout_bias.to(dtype, copy=True)
            for b in hidden.branches
        )
        for bias, branch in zip(self.readout_bias, hidden.branches, strict=True):
            bias.requires_grad_(branch.readout_bias is not None and hidden.readout.biased)
        self.W = nn.Parameter(network.W.to(dtype, copy=True))

    def forward(
        self, values: Tensor, lengths: Tensor, dropout: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Scores (rows, C): a row a sequence, or a step of each sequence, in the order of `Sequences`.

        Parameters
        ----------
        values : float tensor of shape (n, T, d)
        lengths : int64 tensor of shape (n,)
        dropout : float
            Share of spikes silenced: whole neurons, for all steps of a sequence, the others scaled up. Of the last
            layer it is the readout's column that is silenced.
        generator : torch.Generator, optional
            The source of random numbers of the dropout, on the device of `values`.
        """
        readout, every_step = self._template.readout, self._template.every_step
        x = values.transpose(0, 1).contiguous()
        thinned = _Thinning(len(values), dropout, generator)
        features = []
        for layers, bias in zip(self._layers(), self.readout_bias, strict=True):
            below = x
            for layer in layers[:-1]:
                below = thinned(layer(below)[0])
            last = last_layers(readout, layers[-1](below), lengths, bias, every_step=every_step)
            columns = columns_of(readout, last, self.surrogate)
            features.append(thinned(columns, lengths if every_step else None))
        return torch.cat(features, dim=1) @ self.W

    def hidden_layers(self) -> Iterator[tuple[int, TrainableLayer]]:
        """Every layer with its place in its branch, branch by branch."""
        return ((i, layer) for branch in self._layers() for i, layer in enumerate(branch))

    def clamp_(self) -> None:
        """Put learned settings back into their range."""
        for _, layer in self.hidden_layers():
            layer.clamp_()

    def to_network(self) -> Network:
        """The network as data."""
        hidden, branches = self._template, []
        for given, layers, bias in zip(hidden.branches, self._layers(), self.readout_bias, strict=True):
            kept = None if given.readout_bias is None else bias.detach().to(hidden.dtype, copy=True)
            branches.append(Branch(tuple(layer.to_layer() for layer in layers), kept))
        return Network(replace(hidden, branches=tuple(branches)), self.W.detach().to(torch.float64, copy=True))

    def _layers(self) -> list[list[TrainableLayer]]:
        return cast("list[list[TrainableLayer]]", self.branches)


@dataclass(frozen=True)
class _Thinning:
    """Dropout: whole neurons, for all steps of a sequence."""

    n_sequences: int
    share: float
    generator: torch.Generator | None

    def __call__(self, h: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Silence a share of states (T, n, m), of rows (n, m) or, given `lengths`, of the rows of each sequence."""
        if self.share == 0.0:
            return h
        shape = (self.n_sequences, h.shape[-1])
        kept = torch.rand(shape, generator=self.generator, device=h.device) >= self.share
        mask = kept.to(h.dtype) / (1.0 - self.share)
        return h * (mask if lengths is None else mask.repeat_interleave(lengths, dim=0))
