"""From a NIR graph to a network of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_real
from convexsnn.export.write_nir import DT
from convexsnn.network import Branch, Hidden, Layer, Network
from convexsnn.neurons import LIF, Reset
from convexsnn.readouts import Analog, Readout, Spike
from convexsnn.witnesses import with_constant
from convexsnn.witnesses.architecture import DTYPES

WEIGHTS, NEURONS = ("Affine", "Linear"), ("LIF", "IF", "LI", "CubaLIF")


@isolated
def from_nir(graph: Any, *, dt: float | None = None, every_step: bool | None = None, dtype: str = "float64") -> Network:
    """A network from a NIR graph: parallel chains of weights and neurons that end in weights and are summed.

    Read are Affine and Linear, LIF and IF (reset to zero), CubaLIF whose membrane forgets within a step (no reset),
    ``LI -> Threshold``, recurrent weights from a layer's neurons to themselves, and `to_nir`'s subgraph of soft reset.
    A threshold is raised to the next number above, as NIR fires on > and we on >=. Weights come back from `to_nir` up
    to the rounding of dividing by 1 - leak and of the arrays' dtype.

    Parameters
    ----------
    graph : nir.NIRGraph
        Such as `nir.read` gives.
    dt : float, optional
        Seconds a step; None is what `to_nir` noted in the graph, or 1e-4.
    every_step : bool, optional
        Read outputs at every step; None is what `to_nir` noted, or False.
    dtype : {"float64", "float32"}
        Of the network.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        Where the graph holds a node, an order of nodes or a setting that a network of ours has not; names it.
    """
    notes = dict(getattr(graph, "metadata", None) or {})
    step = check_real("dt", float(notes.get("convexsnn_dt", DT)) if dt is None else dt, 0.0, open_minimum=True)
    reader = _Reader(graph, step, DTYPES[dtype])
    if not reader.targets(reader.only("Input")):
        raise ValueError("graph: the Input leads nowhere")
    found = [reader.branch(name) for name in reader.targets(reader.only("Input"))]
    if len({readout for _, _, readout, _ in found}) > 1:
        raise ValueError("graph: some branches are read by their spikes and others by their membrane")
    layers = [branch for branch, _, _, _ in found]
    flag = bool(int(notes.get("convexsnn_every_step", 0))) if every_step is None else every_step
    hidden = Hidden(layers[0].layers[0].n_in, tuple(layers), found[0][2], flag, DTYPES[dtype])
    W = torch.cat([weights for _, weights, _, _ in found])
    bias = torch.stack([own for _, _, _, own in found]).sum(dim=0) + reader.sum_bias
    if bool(bias.any()):
        hidden, W = with_constant(hidden), torch.cat([W, bias[None]])
    return Network(hidden, W)


class _Reader:
    """A graph's nodes and edges by name, and how to read them."""

    def __init__(self, graph: Any, dt: float, dtype: torch.dtype) -> None:
        self.nodes, self.dt, self.dtype = graph.nodes, dt, dtype
        self.edges = list(dict.fromkeys(tuple(edge) for edge in graph.edges))
        self.sum_bias: Tensor | float = 0.0
        known = {*WEIGHTS, *NEURONS, "Threshold", "Input", "Output"}
        for name in self.nodes:
            if self.kind(name) not in known:
                raise ValueError(f"graph: {name} is a {self.kind(name)}; only {', '.join(sorted(known))} can be read")

    def kind(self, name: str) -> str:
        return type(self.nodes[name]).__name__

    def targets(self, name: str) -> list[str]:
        return [end for start, end in self.edges if start == name]

    def only(self, kind: str) -> str:
        names = [name for name in self.nodes if self.kind(name) == kind]
        if len(names) != 1:
            raise ValueError(f"graph must have one {kind} node, it has {len(names)}")
        return names[0]

    def branch(self, name: str) -> tuple[Branch, Tensor, Readout, Tensor]:
        """The chain that begins with the weights `name`: its layers, output weights, readout and output bias."""
        layers, readout, seen = [], Spike(), set()
        while True:
            if name in seen:
                raise ValueError(f"graph: {name} is fed by a later layer; only a layer's own spikes may come back")
            seen.add(name)
            weight, bias = self.weights(name)
            ahead = self.forward(name, [])
            if not layers and (ahead == self.only("Output") or self.kind(ahead) in WEIGHTS):
                raise ValueError(f"graph: {name} is followed by no neurons")
            if ahead == self.only("Output") or self.kind(ahead) in WEIGHTS:
                return Branch(tuple(layers)), *self.output(ahead, weight, bias, readout)
            layer, fires = self.layer(weight, bias, ahead)
            layers.append(layer)
            loops = self.loops(fires, ahead)
            if fires != ahead and any(self.kind(end) in WEIGHTS for end in self.targets(ahead) if end != fires):
                readout, fires = Analog(), ahead
            name = self.forward(fires, [*loops, *self.thresholds(fires)])

    def output(self, ahead: str, weight: Tensor, bias: Tensor, readout: Readout) -> tuple[Tensor, Readout, Tensor]:
        W, own = weight.to(torch.float64), bias.to(torch.float64)
        if ahead != self.only("Output"):  # the node where branches are summed
            mixing, self.sum_bias = (tensor.to(torch.float64) for tensor in self.weights(ahead))
            if self.targets(ahead) != [self.only("Output")]:
                raise ValueError(f"graph: {ahead} follows weights directly, but does not lead to the output")
            W, own = W @ mixing, own @ mixing
        return W, readout, own

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
        node = self.nodes[name]
        weight = self.tensor(node.weight)
        if weight.ndim != 2:
            raise ValueError(f"graph: {name} must have a weight of two dimensions, got {tuple(weight.shape)}")
        bias = self.tensor(node.bias) if self.kind(name) == "Affine" else weight.new_zeros(len(weight))
        return weight.T.contiguous(), bias

    def layer(self, weight: Tensor, bias: Tensor, name: str) -> tuple[Layer, str]:
        """The layer of the neurons `name`, and the node that sends its spikes."""
        node, kind = self.nodes[name], self.kind(name)
        if kind not in NEURONS:
            raise ValueError(f"graph: {name} ({kind}) stands where neurons ({', '.join(NEURONS)}) are needed")
        for rest in ("v_leak", "v_reset"):
            if np.any(getattr(node, rest, 0.0) != 0.0):
                raise ValueError(f"graph: {name} has {rest} other than 0, which no neuron of ours has")
        m = weight.shape[1]
        gain, leak = self.gain_and_leak(name, m)
        fires, reset = name, "none" if kind == "CubaLIF" else "hard"
        if kind == "LI":
            ahead = self.thresholds(name)
            if len(ahead) != 1:
                raise ValueError(f"graph: {name} (LI) must lead to a Threshold")
            fires, reset = ahead[0], "none"
        lowered = self.nodes[fires].threshold if kind == "LI" else node.v_threshold
        # In the arrays' own dtype: that is where the next number below was taken.
        raised = np.nextafter(np.asarray(lowered), np.asarray(np.inf, dtype=np.asarray(lowered).dtype))
        threshold = self.tensor(raised).expand(m).clone()
        recurrent = None
        for loop in self.loops(fires, name):
            back, constant = self.weights(loop)
            bias = bias + constant
            if kind == "LI" and self.kind(loop) == "Linear" and reset == "none":
                reset = self.reset_of(back * gain, leak, threshold)
                if reset != "none":
                    continue
            recurrent = back if recurrent is None else recurrent + back
        kept = bias * gain
        neuron = LIF(leak, threshold, reset)  # type: ignore[arg-type]
        rec = None if recurrent is None else recurrent * gain
        return Layer(weight * gain, neuron, rec, kept if bool(kept.any()) else None), fires

    def gain_and_leak(self, name: str, m: int) -> tuple[Tensor, Tensor]:
        """What the neurons `name` multiply their input and their membrane by at a step."""
        node, kind = self.nodes[name], self.kind(name)
        r = self.tensor(node.r).expand(m)
        if kind == "IF":
            return r * self.dt, torch.ones(m, dtype=self.dtype)
        if kind != "CubaLIF":
            share = self.dt / self.tensor(node.tau).expand(m)
            return r * share, 1.0 - share
        if not np.allclose(node.tau_mem, self.dt, rtol=1e-6, atol=0.0):
            raise ValueError(
                f"graph: {name} is a CubaLIF with a membrane that lasts (tau_mem other than dt={self.dt:g}) and a "
                "synaptic current besides; no neuron of ours has both"
            )
        share = self.dt / self.tensor(node.tau_syn).expand(m)
        return self.tensor(node.w_in).expand(m) * share * r, 1.0 - share

    def reset_of(self, back: Tensor, leak: Tensor, threshold: Tensor) -> Reset:
        """Which reset a feedback stands for: "none" for ordinary recurrence."""
        if bool((back - torch.diag(torch.diag(back))).any()):
            return "none"
        drop = -torch.diag(back)
        near = lambda other: torch.allclose(drop, other, rtol=1e-5, atol=0.0)  # noqa: E731
        return "soft" if near(leak * threshold) else "delayed" if near(threshold) else "none"

    def tensor(self, array: Any) -> Tensor:
        return torch.as_tensor(np.asarray(array)).to(self.dtype)
