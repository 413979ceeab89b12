"""Networks as data: parallel branches of hidden layers, and a linear output (theory.md section 1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from convexsnn.checks import check_integer
from convexsnn.facts import WithFacts
from convexsnn.neurons import LIF, Neuron, Threshold
from convexsnn.readouts import Readout, Spike, as_readout

DTYPES = {"float64": torch.float64, "float32": torch.float32}


@dataclass(frozen=True, eq=False)
class Layer:
    """One hidden layer; its current is I_t = h_below,t @ weight (+ s_{t-1} @ recurrent) (+ bias).

    With delays every connection has one: I_t = sum_k h_below,{t - delays_k} @ weight_k, of which what lies before the
    first step is zero (theory.md section 7). With delays 0, 2, 4, ... neurons are dilated convolutions of their input.

    Attributes
    ----------
    weight : float tensor of shape (len(delays) * n_in, m)
        The weights of the first delay, then those of the second, and so on.
    neuron : Neuron
        LIF or Threshold, for example; its tensors have one value for each of the m.
    recurrent : float tensor of shape (m, m), optional
        W_rec, from the layer's own spikes one step before.
    bias : float tensor of shape (m,), optional
    delays : tuple of int
        The delays of the connections in steps, at least 0, in ascending order.
    """

    weight: Tensor
    neuron: Neuron
    recurrent: Tensor | None = None
    bias: Tensor | None = None
    delays: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        m = self.weight.shape[-1]
        if self.weight.ndim != 2:
            raise ValueError(f"weight must have shape (n_in, m), got {tuple(self.weight.shape)}")
        object.__setattr__(self, "delays", check_delays(self.delays))
        if self.weight.shape[0] % len(self.delays):
            raise ValueError(
                f"weight must have as many rows for each of {len(self.delays)} delays, got {self.weight.shape[0]} rows"
            )
        if not isinstance(self.neuron, Neuron):
            raise ValueError(f"neuron must be a Neuron, such as LIF or Threshold, not {self.neuron!r}")
        expected = {"recurrent": (self.recurrent, (m, m)), "bias": (self.bias, (m,))}
        own = {name: (tensor, (m,)) for name, tensor in self.neuron.tensors().items()}
        if taken := own.keys() & {"weight", *expected}:
            raise ValueError(f"neurons of kind {self.neuron.name!r} have tensors named {taken}, as layers have: rename")
        expected |= own
        for name, (tensor, shape) in expected.items():
            if tensor is not None and tuple(tensor.shape) != shape:
                raise ValueError(f"{name} must have shape {shape} for {m} neurons, got {tuple(tensor.shape)}")
        for name, tensor in [("weight", self.weight), *((key, pair[0]) for key, pair in expected.items())]:
            if tensor is not None and tensor.dtype != self.weight.dtype:
                raise ValueError(f"{name} is {tensor.dtype} but the layer's weight is {self.weight.dtype}")
            if tensor is not None and not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{name} must be finite")

    @property
    def n_in(self) -> int:
        """Neurons (or features) below."""
        return self.weight.shape[0] // len(self.delays)

    @property
    def m(self) -> int:
        """Neurons of this layer."""
        return self.weight.shape[1]

    def take(self, below: Tensor, index: Tensor) -> Layer:
        """The layer cut down to the neurons `index`, fed by the neurons `below`."""
        weight = self.weight.view(len(self.delays), self.n_in, self.m)[:, below][:, :, index]
        return replace(
            self,
            weight=weight.flatten(end_dim=1),
            neuron=self.neuron.take(index),
            recurrent=None if self.recurrent is None else self.recurrent[index][:, index],
            bias=None if self.bias is None else self.bias[index],
        )

    @property
    def delayed(self) -> bool:
        """Whether any connection has a delay."""
        return self.delays != (0,)

    @property
    def feeds(self) -> Tensor:
        """Which neuron below reaches which neuron, bool of shape (n_in, m)."""
        return (self.weight.view(len(self.delays), self.n_in, self.m) != 0).any(dim=0)

    def to(self, device: torch.device | str) -> Layer:
        """The same layer on `device`."""
        move = lambda tensor: None if tensor is None else tensor.to(device)  # noqa: E731
        weight, neuron = self.weight.to(device), self.neuron.to(device)
        return replace(self, weight=weight, neuron=neuron, recurrent=move(self.recurrent), bias=move(self.bias))


def check_delays(delays: tuple[int, ...]) -> tuple[int, ...]:
    """`delays` as a tuple of different ints of at least 0 in ascending order; ValueError otherwise."""
    own = tuple(check_integer("delays", delay, minimum=0) for delay in delays)
    if not own or any(after <= before for before, after in pairwise(own)):
        raise ValueError(f"delays must be different numbers of steps in ascending order, got {own}")
    return own


def delayed(values: Tensor, delays: tuple[int, ...], *, time: int) -> Tensor:
    """What a layer with these delays sees at each step, side by side in the last of three axes.

    Parameters
    ----------
    values : float tensor of three axes
        The output of what is below, with the steps in axis `time` (0 or 1) and the n_in neurons in the last.
    delays : tuple of int
        The delays in steps. What lies before the first step is zero.
    time : int
    """
    before = (0, 0) * (2 - time)
    steps = values.shape[time]
    parts = [
        nn.functional.pad(values, (*before, delay, 0)).narrow(time, 0, steps) if delay else values for delay in delays
    ]
    return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]


def without_delays(layer: Layer, who: str) -> Layer:
    """The layer itself, for those who know no delays: ValueError, naming `who`, where it has any."""
    if layer.delayed:
        raise ValueError(f"{who} knows no connections with delays, but a layer has delays {layer.delays}")
    return layer


def lif_of(layer: Layer, who: str) -> LIF:
    """The neurons of a layer as LIF: threshold units have leak 0, threshold 0 and no reset.

    For those who know the equations of LIF neurons, and no others: ValueError, naming `who`, for any other kind.
    """
    match layer.neuron:
        case LIF() as lif:
            return lif
        case Threshold():
            zeros = torch.zeros(layer.m, dtype=layer.weight.dtype, device=layer.weight.device)
            return LIF(zeros, zeros, "none")
        case other:
            raise ValueError(f"{who} knows LIF neurons and threshold units, not neurons of kind {other.name!r}")


@dataclass(frozen=True, eq=False)
class Branch:
    """One of the K parallel subnetworks: a stack of layers, the last of which is read out.

    Attributes
    ----------
    layers : tuple of Layer
        The hidden layers, from the first to the last.
    readout_bias : float tensor of shape (m_last,), optional
        The bias of the membrane readout 1[v_T - readout_bias >= 0]; None is zero. Readouts that are not `biased` ignore
        it.
    """

    layers: tuple[Layer, ...]
    readout_bias: Tensor | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("a branch must have at least one layer")
        for i, (below, above) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            if below.m != above.n_in:
                raise ValueError(f"layer {i + 1} of a branch expects {above.n_in} inputs but layer {i} has {below.m}")
        if self.readout_bias is not None and tuple(self.readout_bias.shape) != (self.last.m,):
            raise ValueError(f"readout_bias must have shape ({self.last.m},), got {tuple(self.readout_bias.shape)}")

    @property
    def last(self) -> Layer:
        """The last hidden layer."""
        return self.layers[-1]

    @property
    def silent(self) -> bool:
        """Whether it is one layer that can never spike, as its thresholds are the largest number that there is.

        The membranes of such neurons are a linear function of the input (`witnesses.with_bypass`).
        """
        neuron, largest = self.last.neuron, torch.finfo(self.last.weight.dtype).max
        return len(self.layers) == 1 and isinstance(neuron, LIF) and bool((neuron.threshold == largest).all())

    def to(self, device: torch.device | str) -> Branch:
        """The same branch on `device`."""
        bias = None if self.readout_bias is None else self.readout_bias.to(device)
        return Branch(tuple(layer.to(device) for layer in self.layers), bias)


@dataclass(frozen=True, eq=False)
class Hidden:
    """The hidden part of a network, theta_1..theta_K: as a witness, everything but the output weights.

    The dynamics are *defined* in `dtype` (float64 unless chosen otherwise): the same parameters in other arithmetic,
    or summed in another order, may spike differently where a potential comes within rounding of its threshold. The
    spike margin in the certificate says how near that came.

    Attributes
    ----------
    n_features : int
        d, the input features.
    branches : tuple of Branch
    readout : Readout
        What is read of the last layers, such as `Spike` (s_T), `Membrane` (1[v_T - readout_bias >= 0]) or `Analog`
        (v_T). A name, such as "spike", stands for the kind of that name.
    every_step : bool
        Read at every step (rows are sequence-step pairs) instead of the last step of each sequence.
    dtype : torch.dtype
    """

    n_features: int
    branches: tuple[Branch, ...]
    readout: Readout = field(default_factory=Spike)
    every_step: bool = False
    dtype: torch.dtype = torch.float64

    def __post_init__(self) -> None:
        object.__setattr__(self, "readout", as_readout(self.readout))
        if self.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype must be torch.float32 or torch.float64, got {self.dtype}")
        for k, branch in enumerate(self.branches):
            if branch.layers[0].n_in != self.n_features:
                raise ValueError(f"branch {k} expects {branch.layers[0].n_in} features, the network {self.n_features}")
            if any(layer.weight.dtype != self.dtype for layer in branch.layers):
                raise ValueError(f"branch {k} is not in the network's dtype {self.dtype}")

    @property
    def n_last(self) -> int:
        """P_last, the columns that the output reads: of each last-layer neuron as many as the readout has parts."""
        return self.readout.parts * sum(branch.last.m for branch in self.branches)

    @property
    def n_neurons(self) -> int:
        """All hidden neurons."""
        return sum(layer.m for layer in self.layers())

    @property
    def n_silent(self) -> int:
        """Those of them that can never spike: see `Branch.silent`."""
        return sum(branch.last.m for branch in self.branches if branch.silent)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.branches[0].last.weight.device if self.branches else torch.device("cpu")

    def equals(self, other: Hidden) -> bool:
        """Whether `other` has exactly the same layers, neurons and readout."""
        settings = [(h.n_features, h.readout, h.every_step, h.dtype, len(h.branches)) for h in (self, other)]
        return settings[0] == settings[1] and all(map(_same_branch, self.branches, other.branches))

    def same_shape(self, other: Hidden) -> bool:
        """Whether `other` differs in numbers of weights and biases only: same layers, neurons, readout and dtype."""
        facts = [(h.n_features, h.readout, h.every_step, h.dtype, h._sizes()) for h in (self, other)]
        return facts[0] == facts[1] and all(
            a.neuron.equals(b.neuron) for a, b in zip(self.layers(), other.layers(), strict=True)
        )

    def _sizes(self) -> list[list[tuple]]:
        return [
            [(tuple(la.weight.shape), la.recurrent is None, la.bias is None, la.delays) for la in branch.layers]
            for branch in self.branches
        ]

    def layers(self) -> Iterator[Layer]:
        """All layers, branch by branch."""
        return (layer for branch in self.branches for layer in branch.layers)

    def owner(self, neuron: int) -> tuple[int, int]:
        """(branch, index in its last layer) of last-layer neuron number `neuron`, counted over all branches.

        With a readout of one part, that is the number of its column.
        """
        for k, branch in enumerate(self.branches):
            if neuron < branch.last.m:
                return k, neuron
            neuron -= branch.last.m
        raise IndexError("no such last-layer neuron")

    def to(self, device: torch.device | str) -> Hidden:
        """The same network on `device`."""
        return replace(self, branches=tuple(branch.to(device) for branch in self.branches))


@dataclass(frozen=True, eq=False)
class Network(WithFacts):
    """A complete network: f(x) = sum_k H_k(x; theta_k) W_k.

    Attributes
    ----------
    hidden : Hidden
    W : float64 tensor of shape (P_last, C)
        Output weights, branch by branch: one row for each last-layer neuron and part of the readout.
    """

    hidden: Hidden
    W: Tensor

    def __post_init__(self) -> None:
        if self.W.ndim != 2 or self.W.shape[0] != self.hidden.n_last:
            raise ValueError(f"W must have shape ({self.hidden.n_last}, C), got {tuple(self.W.shape)}")

    def equals(self, other: Network) -> bool:
        """Whether `other` has exactly the same layers, neurons, readout and weights."""
        return torch.equal(self.W, other.W) and self.hidden.equals(other.hidden)

    def facts(self) -> dict[str, str]:
        """What the network is made of."""
        hidden, layers = self.hidden, list(self.hidden.layers())
        silent = {"never spiking": f"{hidden.n_silent} neurons, which pass the input on"} if hidden.n_silent else {}
        return {
            "input": f"{hidden.n_features} features a step",
            "hidden": f"{hidden.n_neurons} neurons, {len(layers)} layers, {len(hidden.branches)} branches",
            **silent,
            "neurons": ", ".join(sorted({layer.neuron.name for layer in layers})) or "none",
            "readout": f"{hidden.readout}, at {'every' if hidden.every_step else 'the last'} step",
            "outputs": str(self.W.shape[1]),
            "synapses": str(self.n_synapses),
            "arithmetic": str(hidden.dtype).removeprefix("torch."),
        }

    @property
    def n_synapses(self) -> int:
        """Nonzero connections: input, hidden, recurrent and output weights."""
        weights = [tensor for layer in self.hidden.layers() for tensor in (layer.weight, layer.recurrent)]
        return sum(int((tensor != 0).sum()) for tensor in [*weights, self.W] if tensor is not None)

    def to(self, device: torch.device | str) -> Network:
        """The same network on `device`."""
        return Network(self.hidden.to(device), self.W.to(device))


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and torch.equal(a, b))


def _same_branch(a: Branch, b: Branch) -> bool:
    same_layers = len(a.layers) == len(b.layers) and all(map(_same_layer, a.layers, b.layers))
    return same_layers and _same(a.readout_bias, b.readout_bias)


def _same_layer(a: Layer, b: Layer) -> bool:
    return (
        _same(a.weight, b.weight)
        and _same(a.recurrent, b.recurrent)
        and _same(a.bias, b.bias)
        and a.neuron.equals(b.neuron)
        and a.delays == b.delays
    )
