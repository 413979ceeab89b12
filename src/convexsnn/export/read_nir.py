"""From a NIR graph to a network of ours."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_choice, check_flag, check_real
from convexsnn.export.nir_file import node_array, read_nir_file
from convexsnn.export.nir_graph import flat_graph, is_graph, kind_of
from convexsnn.export.write_nir import DT
from convexsnn.network import Branch, Hidden, Layer, Network
from convexsnn.neurons import LIF, Neuron, Reset, Synaptic
from convexsnn.reading import reading
from convexsnn.readouts import Analog, Count, Leaky, Readout, Spike
from convexsnn.witnesses import with_constant
from convexsnn.witnesses.architecture import DTYPES

WEIGHTS, NEURONS = ("Affine", "Linear"), ("LIF", "IF", "LI", "CubaLIF")


@isolated
def from_nir(graph: Any, *, dt: float | None = None, every_step: bool | None = None, dtype: str = "float64") -> Network:
    """A network from a NIR graph: parallel chains of weights and neurons that end in weights and are summed.

    These nodes are read:

    - weights: Affine and Linear, and a Delay before them; also recurrent weights of a layer;
    - neurons: LIF, IF and CubaLIF that reset to zero, CubaLIF whose membrane forgets within a step (no reset), and
      ``LI -> Threshold``;
    - I that counts the spikes of the last neurons, or sums the outputs of the last weights, and LI after the last
      weights, whose membrane is the output: both are a readout over time;
    - neurons that are followed by the Output: their spikes are the outputs;
    - graphs within the graph, as libraries write recurrent layers;
    - `to_nir`'s subgraph of soft reset.

    A threshold is raised to the next number above, as NIR fires on > and we on >=. Weights come back from `to_nir` up
    to the rounding of dividing by 1 - leak and of the arrays' dtype.

    Parameters
    ----------
    graph : nir.NIRGraph or path
        A graph such as `nir.read` gives, or the path of the file itself.
    dt : float, optional
        Seconds a step; None is what `to_nir` noted in the graph, or 1e-4.
    every_step : bool, optional
        Read outputs at every step; None is what `to_nir` noted, or False.
    dtype : {"float64", "float32"}
        The network computes with numbers of this precision.

    Returns
    -------
    Network

    Raises
    ------
    DamagedFileError
        When a file cannot be read.
    ValueError
        When the graph holds a node, an order of nodes or a setting that our networks do not have. The message names it.
    """
    check_choice("dtype", dtype, DTYPES)
    if dt is not None:
        check_real("dt", dt, 0.0, open_minimum=True)
    if every_step is not None:
        check_flag("every_step", every_step)
    if not isinstance(graph, str | os.PathLike):
        return _network(graph, dt, every_step, DTYPES[dtype])
    whole = read_nir_file(Path(graph))
    with reading(os.fspath(graph), "graph"):
        return _network(whole, dt, every_step, DTYPES[dtype])


def _network(graph: Any, dt: float | None, every_step: bool | None, dtype: torch.dtype) -> Network:
    if not is_graph(graph):
        raise ValueError(f"graph must be a nir.NIRGraph or the path of its file, not {type(graph).__name__}")
    step = check_real("dt", _noted(graph, "convexsnn_dt", DT) if dt is None else dt, 0.0, open_minimum=True)
    flag = bool(_noted(graph, "convexsnn_every_step", 0)) if every_step is None else every_step
    reader = _Reader(graph, step, dtype)
    begins = reader.feeds(reader.only("Input"), [])
    if not begins:
        raise ValueError("graph: the Input leads nowhere")
    found = [reader.branch(ahead, feeds) for ahead, feeds in begins.items()]
    if len({readout for _, _, readout, _ in found}) > 1:
        raise ValueError("graph: its branches are read in different ways")
    outputs = {weights.shape[1] for _, weights, _, _ in found}
    if len(outputs) > 1:
        raise ValueError(f"graph: branches that are summed have {sorted(outputs)} outputs")
    layers = [branch for branch, _, _, _ in found]
    hidden = Hidden(layers[0].layers[0].n_in, tuple(layers), found[0][2], flag, dtype)
    W = torch.cat([weights for _, weights, _, _ in found])
    bias = torch.stack([own for _, _, _, own in found]).sum(dim=0) + reader.sum_bias
    if bool(bias.any()):
        hidden, W = _with_bias(hidden), torch.cat([W, bias[None]])
    return Network(hidden, W)


def _with_bias(hidden: Hidden) -> Hidden:
    """`hidden` with a neuron that fires at every step: read over time, it adds up as a bias of every step does."""
    return replace(with_constant(replace(hidden, readout=Spike())), readout=hidden.readout)


def _noted(graph: Any, name: str, usual: float) -> float:
    """What `to_nir` noted in the graph, or the usual."""
    notes = getattr(graph, "metadata", None) or {}
    note = node_array(notes.get(name, usual), f"graph: its note {name}")
    if note.size != 1:
        raise ValueError(f"graph: its note {name} must be one number, got shape {note.shape}")
    return float(note.item())


class _Feed(NamedTuple):
    """Weights, and the steps (n_in,) or () by which what they see is late."""

    weights: str
    late: Tensor


class _Reader:
    """A graph's nodes and edges by name, and how to read them."""

    def __init__(self, graph: Any, dt: float, dtype: torch.dtype) -> None:
        self.nodes, self.edges = flat_graph(graph)
        self.dt, self.dtype = dt, dtype
        self.sum_bias: Tensor | float = 0.0
        known = {*WEIGHTS, *NEURONS, "Threshold", "Delay", "I", "Input", "Output"}
        for name in self.nodes:
            if self.kind(name) not in known:
                raise ValueError(f"graph: {name} is a {self.kind(name)}; only {', '.join(sorted(known))} can be read")

    def kind(self, name: str) -> str:
        return kind_of(self.nodes[name])

    def targets(self, name: str) -> list[str]:
        return [end for start, end in self.edges if start == name]

    def only(self, kind: str) -> str:
        names = [name for name in self.nodes if self.kind(name) == kind]
        if len(names) != 1:
            raise ValueError(f"graph must have one {kind} node, it has {len(names)}")
        return names[0]

    def branch(self, ahead: str, feeds: list[_Feed]) -> tuple[Branch, Tensor, Readout, Tensor]:
        """The chain that begins with the node `ahead`, fed by `feeds`: layers, output weights, readout, output bias."""
        layers, readout, seen = [], Spike(), set()
        while True:
            if ahead in seen:
                raise ValueError(f"graph: {ahead} is fed by a later layer; only a layer's own spikes may come back")
            seen.add(ahead)
            if feeds[0].weights == ahead == self.only("Output"):  # neurons are the end of the graph
                return self.spiking(layers, readout)
            weight, bias, delays = self.fed(feeds)
            if ahead == self.only("Output") or self.kind(ahead) in WEIGHTS:
                if not layers or delays != (0,):
                    missing = "followed by no neurons" if not layers else "delayed on the way to the output"
                    raise ValueError(f"graph: {feeds[0].weights} is {missing}")
                return Branch(tuple(layers)), *self.output(ahead, weight, bias, readout)
            if layers and self.kind(ahead) in ("LI", "I") and self.targets(ahead) == [self.only("Output")]:
                if delays != (0,) or readout != Spike():
                    raise ValueError(f"graph: {ahead} at the output must integrate spikes, without delays")
                return Branch(tuple(layers)), *self.integrated(ahead, weight, bias)
            layer, fires = self.layer(weight, bias, ahead)
            layers.append(replace(layer, delays=delays))
            loops = self.loops(fires, ahead)
            if fires != ahead and any(self.kind(end) in WEIGHTS for end in self.targets(ahead) if end != fires):
                readout, fires = Analog(), ahead
            elif counts := [end for end in self.targets(fires) if self.kind(end) == "I"]:
                readout, fires = Count(), self.counter(counts[0], layer.m)
            onward = self.feeds(fires, [*loops, *self.thresholds(fires)])
            if len(onward) != 1:
                raise ValueError(f"graph: {fires} must lead to one node, it leads to {list(onward) or 'none'}")
            ((ahead, feeds),) = onward.items()

    def feeds(self, name: str, besides: list[str]) -> dict[str, list[_Feed]]:
        """The weights that see the node `name`, by the node that they lead to."""
        found: dict[str, list[_Feed]] = {}
        for end in self.targets(name):
            if end not in besides:
                feed = self.feed(end)
                ahead = self.forward(feed.weights, []) if self.kind(feed.weights) in WEIGHTS else feed.weights
                found.setdefault(ahead, []).append(feed)
        return found

    def feed(self, name: str) -> _Feed:
        """The weights that `name` is, or that it leads to where it is a Delay."""
        late, passed = torch.zeros((), dtype=torch.int64), set()
        while self.kind(name) == "Delay":
            if name in passed:
                raise ValueError(f"graph: {name} leads back to itself")
            passed.add(name)
            late, name = late + self.steps(name), self.forward(name, [])
        return _Feed(name, late)

    def fed(self, feeds: list[_Feed]) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """The weight (len(delays) * n_in, m) of all feeds of a node, their bias (m,), and their delays."""
        read = [(*self.weights(feed.weights), feed) for feed in feeds]
        if len({weight.shape for weight, _, _ in read}) > 1:
            raise ValueError(f"graph: weights of different shapes lead to one node: {[f.weights for f in feeds]}")
        for weight, _, feed in read:
            if feed.late.numel() not in (1, len(weight)):
                raise ValueError(f"graph: {feed.weights} has {len(weight)} inputs, but {feed.late.numel()} delays")
        delays = tuple(sorted({steps for feed in feeds for steps in feed.late.flatten().tolist()}))
        parts = [
            torch.stack([weight * (feed.late == delay).view(-1, 1) for weight, _, feed in read]).sum(dim=0)
            for delay in delays
        ]
        return torch.cat(parts), torch.stack([bias for _, bias, _ in read]).sum(dim=0), delays

    def steps(self, name: str) -> Tensor:
        """The steps that the Delay `name` takes, (n,) or ()."""
        exact = self.array(name, "delay") / self.dt
        whole = np.rint(exact)
        if (whole < 0).any() or not np.allclose(whole, exact, rtol=1e-6, atol=0.0):
            raise ValueError(f"graph: {name} has a delay that is not a whole number of steps of dt={self.dt:g}")
        return torch.as_tensor(whole).to(torch.int64)

    def counter(self, name: str, m: int) -> str:
        """`name`, an I that adds one for each spike of m neurons; ValueError for one that adds another number."""
        if not torch.allclose(self.each(name, "r", m) * self.dt, torch.ones(m, dtype=self.dtype), rtol=1e-6):
            raise ValueError(f"graph: {name} (I) must add 1 for each spike, so its r must be 1 / dt={1 / self.dt:g}")
        return name

    def output(self, ahead: str, weight: Tensor, bias: Tensor, readout: Readout) -> tuple[Tensor, Readout, Tensor]:
        W, own = weight.to(torch.float64), bias.to(torch.float64)
        if ahead != self.only("Output"):  # the node where branches are summed
            mixing, self.sum_bias = (tensor.to(torch.float64) for tensor in self.weights(ahead))
            if self.targets(ahead) != [self.only("Output")]:
                raise ValueError(f"graph: {ahead} follows weights directly, but does not lead to the output")
            W, own = W @ mixing, own @ mixing
        return W, readout, own

    def spiking(self, layers: list[Layer], readout: Readout) -> tuple[Branch, Tensor, Readout, Tensor]:
        """The end of a graph whose outputs are what is read of the last neurons."""
        if not layers:
            raise ValueError("graph: the Input leads to the Output, past all neurons")
        m = layers[-1].m
        return Branch(tuple(layers)), torch.eye(m, dtype=torch.float64), readout, torch.zeros(m, dtype=torch.float64)

    def integrated(self, name: str, weight: Tensor, bias: Tensor) -> tuple[Tensor, Readout, Tensor]:
        """The end of a graph whose outputs are integrated by `name`, of which the membrane is read."""
        gain, leak = self.gain_and_leak(name, weight.shape[1])
        if bool((leak != leak[0]).any()):
            raise ValueError(f"graph: {name} integrates the outputs with different time constants")
        mu = float(leak[0])
        readout = Count() if mu == 1.0 else Leaky(mu) if mu > 0.0 else Spike()
        return (weight * gain).to(torch.float64), readout, (bias * gain).to(torch.float64)

    def forward(self, name: str, besides: list[str]) -> str:
        ends = [end for end in self.targets(name) if end not in besides]
        if len(ends) != 1:
            raise ValueError(f"graph: {name} must lead to one node, it leads to {ends or 'none'}")
        return ends[0]

    def thresholds(self, name: str) -> list[str]:
        return [end for end in self.targets(name) if self.kind(end) == "Threshold"]

    def loops(self, fires: str, neuron: str) -> list[str]:
        """Weights from the node that fires back to the neurons."""
        return [end for end in self.targets(fires) if self.kind(end) in WEIGHTS and self.targets(end) == [neuron]]

    def weights(self, name: str) -> tuple[Tensor, Tensor]:
        """Weight (n_in, m) and bias (m,)."""
        if self.kind(name) not in WEIGHTS:
            raise ValueError(f"graph: {name} ({self.kind(name)}) stands where weights (Affine or Linear) are needed")
        weight = self.tensor(name, "weight")
        if weight.ndim != 2 or not weight.numel():
            raise ValueError(f"graph: {name} must have a weight of two dimensions, got {tuple(weight.shape)}")
        m = len(weight)
        bias = self.each(name, "bias", m) if self.kind(name) == "Affine" else weight.new_zeros(m)
        return weight.T.contiguous(), bias

    def layer(self, weight: Tensor, bias: Tensor, name: str) -> tuple[Layer, str]:
        """The layer of the neurons `name`, and the node that sends its spikes."""
        node, kind = self.nodes[name], self.kind(name)
        if kind not in NEURONS:
            raise ValueError(f"graph: {name} ({kind}) stands where neurons ({', '.join(NEURONS)}) are needed")
        for rest in ("v_leak", "v_reset"):
            if getattr(node, rest, None) is not None and bool(self.tensor(name, rest).any()):
                raise ValueError(f"graph: {name} has {rest} other than 0, which no neuron of convexsnn has")
        m = weight.shape[1]
        gain, leak = self.gain_and_leak(name, m)
        fires, reset = name, "none" if kind == "CubaLIF" else "hard"
        if kind == "LI":
            ahead = self.thresholds(name)
            if len(ahead) != 1:
                raise ValueError(f"graph: {name} (LI) must lead to a Threshold")
            fires, reset = ahead[0], "none"
        lowered = self.array(fires, "threshold" if kind == "LI" else "v_threshold")
        # In the arrays' own dtype: that is where the next number below was taken.
        raised = torch.as_tensor(np.nextafter(lowered, np.asarray(np.inf, dtype=lowered.dtype))).to(self.dtype)
        threshold = self.spread(raised, f"graph: the threshold of {fires}", m)
        recurrent = None
        for loop in self.loops(fires, name):
            back, constant = self.weights(loop)
            if back.shape != (m, m):
                raise ValueError(f"graph: {loop} feeds {m} neurons back, but its weight is {tuple(back.T.shape)}")
            bias = bias + constant
            if kind == "LI" and self.kind(loop) == "Linear" and reset == "none":
                reset = self.reset_of(back * gain, leak, threshold)
                if reset != "none":
                    continue
            recurrent = back if recurrent is None else recurrent + back
        kept = bias * gain
        neuron: Neuron = LIF(leak, threshold, reset)  # type: ignore[arg-type]
        if self.lasts(name):
            neuron = Synaptic(leak, 1.0 - self.dt / self.times(name, "tau_syn", m), threshold, "hard")
        rec = None if recurrent is None else recurrent * gain
        return Layer(weight * gain, neuron, rec, kept if bool(kept.any()) else None), fires

    def gain_and_leak(self, name: str, m: int) -> tuple[Tensor, Tensor]:
        """What the neurons `name` multiply their input and their membrane by at a step."""
        kind, r = self.kind(name), self.each(name, "r", m)
        if kind in ("IF", "I"):
            return r * self.dt, torch.ones(m, dtype=self.dtype)
        if kind != "CubaLIF":
            share = self.dt / self.times(name, "tau", m)
            return r * share, 1.0 - share
        synapse, membrane = (self.dt / self.times(name, field, m) for field in ("tau_syn", "tau_mem"))
        gain = self.each(name, "w_in", m) * synapse * r
        return (gain * membrane, 1.0 - membrane) if self.lasts(name) else (gain, 1.0 - synapse)

    def lasts(self, name: str) -> bool:
        """Whether neurons have a membrane that lasts beside a synaptic current, as `Synaptic` neurons have."""
        return self.kind(name) == "CubaLIF" and not np.allclose(
            self.array(name, "tau_mem"), self.dt, rtol=1e-6, atol=0.0
        )

    def times(self, name: str, field: str, m: int) -> Tensor:
        """Time constants (m,) of neurons, none shorter than a step."""
        tau = self.each(name, field, m)
        shortest = float(tau.min())
        if shortest < self.dt:
            raise ValueError(
                f"graph: {name} has {field} {shortest:.6g} s, less than a step of dt={self.dt:.6g} s: such "
                "neurons would overshoot. Pass a dt that is at most as long as every time constant"
            )
        return tau

    def reset_of(self, back: Tensor, leak: Tensor, threshold: Tensor) -> Reset:
        """Which reset a feedback stands for: "none" for ordinary recurrence."""
        if bool((back - torch.diag(torch.diag(back))).any()):
            return "none"
        drop = -torch.diag(back)
        near = lambda other: torch.allclose(drop, other, rtol=1e-5, atol=0.0)  # noqa: E731
        return "soft" if near(leak * threshold) else "delayed" if near(threshold) else "none"

    def array(self, name: str, field: str) -> np.ndarray:
        """A parameter of the node `name`."""
        if not hasattr(self.nodes[name], field):
            raise ValueError(f"graph: {name} has no {field}")
        return node_array(getattr(self.nodes[name], field), f"graph: {field} of {name}")

    def tensor(self, name: str, field: str) -> Tensor:
        """The array as a tensor in the dtype of the network."""
        return torch.from_numpy(self.array(name, field)).to(self.dtype)

    def each(self, name: str, field: str, m: int) -> Tensor:
        """A tensor with a number for each of m neurons, (m,); one number may stand for all."""
        return self.spread(self.tensor(name, field), f"graph: {field} of {name}", m)

    @staticmethod
    def spread(values: Tensor, where: str, m: int) -> Tensor:
        """`values` as (m,), where there is one or there are m."""
        if tuple(values.shape) not in ((), (1,), (m,)):
            raise ValueError(f"{where} must be one number or {m}, got shape {tuple(values.shape)}")
        return values.expand(m).clone()
