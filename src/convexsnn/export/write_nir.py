"""NIR, the neuromorphic intermediate representation: networks of ours as graphs for other simulators and chips.

NIR's neurons are differential equations; read by Euler steps of `dt`, a LIF has leak 1 - dt / tau and multiplies its
input by dt / tau, so weights are divided by 1 - leak. It fires on >, so thresholds are lowered to the next number
below.

No NIR neuron fires without a reset. But a CubaLIF whose membrane forgets within a step (tau_mem = dt) has nothing to
reset: its membrane is its synaptic current, which leaks and is never reset. That is a LIF neuron of reset "none".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, NamedTuple, assert_never

import numpy as np
import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_choice, check_integer, check_real
from convexsnn.export.chains import chains_of
from convexsnn.export.library import library
from convexsnn.export.norse import ROUNDING_STEPS
from convexsnn.export.wiring import below, check_neurons
from convexsnn.network import Branch, Hidden, Layer, Network, lif_of
from convexsnn.neurons import LIF
from convexsnn.readouts import Analog, Count, Leaky, Rate, Spike

# The file holds no dt: snnTorch's importer has this one built in, SpikingJelly's has it as default.
DT = 1e-4
SoftReset = Literal["raise", "subgraph"]


class _Parts(NamedTuple):
    """What a graph is made of."""

    nodes: dict[str, Any]
    edges: list[tuple[str, str]]


@isolated
def to_nir(
    network: Network,
    *,
    dt: float = DT,
    soft_reset: SoftReset = "raise",
    dtype: Literal["float32", "float64"] = "float32",
    steps: int | None = None,
) -> Any:
    """A network as a NIR graph: Input, Affine and neurons for each layer, then Affine with W, Output.

    Branches alike in depth and reset are joined into one chain with block-diagonal weights; others stay parallel chains
    that are summed, which Norse's importer does not do.

    Each layer is ``Affine(W / (1 - leak), b / (1 - leak)) -> LIF(tau=dt / (1 - leak), r=1, v_leak=0, v_reset=0)`` for
    hard reset, and ``Affine(W, b) -> CubaLIF(tau_syn=dt / (1 - leak), w_in=1 / (1 - leak), tau_mem=dt, r=1)`` without
    reset; the importers of snnTorch, SpikingJelly and Norse read both alike. Without reset it is ``LI -> Threshold``,
    which they do not read, where the membrane is the readout or a threshold is not positive. Recurrent weights are
    an Affine from the neurons to themselves, taking one step. The graph gives f at every step; reading it at the
    last one is up to the caller. NIR has no dt and no >=: readers must step with `dt` (norse: ``from_nir(graph,
    dt=1e-4)``). Every delay is a Delay and an Affine of its own. The readouts count and rate are an I after the last
    neurons: its potential is read.

    Parameters
    ----------
    network : Network
    dt : float
        Seconds a step.
    soft_reset : {"raise", "subgraph"}
        A NIR LIF resets to a value, so soft reset (and "delayed") is refused, or made of ``LI -> Threshold`` with a
        Linear that feeds -leak * threshold (or -threshold) back; exact, but no importer that we know reads it.
    dtype : {"float32", "float64"}
        The arrays have this precision; importers compute in float32.
    steps : int, optional
        All sequences have this many steps. The rate readout needs it: it becomes a count, with output weights that are
        divided by this number.

    Returns
    -------
    nir.NIRGraph
        A graph that `nir.write` can write.

    Raises
    ------
    ValueError
        When the network has no neurons, or has what NIR cannot express. This is any neuron but LIF and threshold units,
        soft reset (see above), or any readout but spike, count, rate and analog. It is also the analog readout of
        neurons that reset, and a leak of 1, except in layers of hard reset where all neurons have it.
    ImportError
        When the package ``nir`` is not installed.
    """
    nir = library("nir")
    hidden = check_neurons(network)
    check_choice("soft_reset", soft_reset, ("raise", "subgraph"))
    check_choice("dtype", dtype, ("float32", "float64"))
    step = check_real("dt", dt, 0.0, open_minimum=True)
    kind = {"float32": torch.float32, "float64": torch.float64}[dtype]
    _check_readout(hidden, steps)
    parts = _Parts({"input": nir.Input(np.array([hidden.n_features]))}, [])
    chains = chains_of(_plain(network), alike=lambda layer: bool((lif_of(layer, "NIR").leak == 1.0).any()))
    for k, (branch, W, *_) in enumerate(chains):
        layers, source = branch.layers, "input"
        for i, layer in enumerate(layers):
            analog = isinstance(hidden.readout, Analog) and layer is layers[-1]
            source = _add_layer(parts, f"{k}_{i}", layer, source, _Export(step, soft_reset, kind, analog))
        if isinstance(hidden.readout, Count):
            parts.nodes[f"count_{k}"] = nir.I(r=np.full(layers[-1].m, 1.0 / step))
            parts.edges.append((source, f"count_{k}"))
            source = f"count_{k}"
        # A bias of zero: several readers know Affine but not Linear.
        zeros = torch.zeros(W.shape[1], dtype=kind)
        parts.nodes[f"output_{k}"] = nir.Affine(weight=_array(W.T / (steps or 1), kind), bias=_array(zeros, kind))
        parts.edges.append((source, f"output_{k}"))
    ends = [f"output_{k}" for k in range(len(chains))]
    end = ends[0]
    if len(ends) > 1:  # what enters a node is summed, but not every importer does so at Output
        C = network.W.shape[1]
        parts.nodes["sum"] = nir.Affine(weight=_array(torch.eye(C), kind), bias=_array(torch.zeros(C), kind))
        parts.edges.extend((name, "sum") for name in ends)
        end = "sum"
    parts.nodes["output"] = nir.Output(np.array([network.W.shape[1]]))
    parts.edges.append((end, "output"))
    facts = {
        "convexsnn_readout": hidden.readout.name if steps is None else Count.name,
        "convexsnn_every_step": int(hidden.every_step),
        "convexsnn_dt": step,
    }
    return nir.NIRGraph(parts.nodes, parts.edges, metadata=facts, type_check=False)


def _plain(network: Network) -> Network:
    """The network with all neurons as LIF, and with a bias in all layers."""

    def plain(layer: Layer) -> Layer:
        bias = torch.zeros_like(layer.weight[0]) if layer.bias is None else layer.bias
        return replace(layer, neuron=lif_of(layer, "NIR"), bias=bias)

    branches = tuple(Branch(tuple(map(plain, branch.layers))) for branch in network.hidden.branches)
    return replace(network, hidden=replace(network.hidden, branches=branches))


def _check_readout(hidden: Hidden, steps: int | None) -> None:
    """ValueError, naming the readout, where no nodes of NIR read so."""
    if steps is not None:
        check_integer("steps", steps)
        if hidden.every_step or not isinstance(hidden.readout, Rate):
            raise ValueError(f"steps is for a rate that is read at the last step, and not for {hidden.readout!s}")
        return
    match hidden.readout:
        case Rate():  # derives from Count
            reason = "a share of the steps needs their number: pass steps, if all sequences have as many"
        case Leaky():
            reason = "its mu would come back rounded from a time constant"
        case Spike() | Analog() | Count():
            return
        case _:
            reason = "NIR's neurons send spikes, or of LI and I the potential"
    raise ValueError(f"the {hidden.readout!s} readout cannot be expressed in NIR: {reason}")


class _Export(NamedTuple):
    """How a layer is written, and whether its membrane is read."""

    dt: float
    soft_reset: SoftReset
    dtype: torch.dtype
    analog: bool


def _add_layer(parts: _Parts, at: str, layer: Layer, source: str, how: _Export) -> str:
    """Add one layer fed by the node `source`; the name of the node that is read."""
    nir = library("nir")
    lif = _checked(layer, how)
    kind = _kind(lif, how)
    ones = torch.ones_like(lif.leak)
    gain = 1.0 - lif.leak if kind in ("LIF", "LI") else ones
    assert layer.bias is not None  # see `_plain`
    array = lambda tensor: _array(tensor, how.dtype)  # noqa: E731
    neuron, fires = f"neuron_{at}", f"neuron_{at}"
    parts.nodes[neuron] = _neurons(kind, lif, how)
    for k, (delay, weight) in enumerate(zip(layer.delays, layer.weight.split(layer.n_in), strict=True)):
        weights = f"affine_{at}" if k == 0 else f"affine_{at}_{k}"
        own = layer.bias if k == 0 else 0.0 * layer.bias
        parts.nodes[weights] = nir.Affine(weight=array((weight / gain).T), bias=array(own / gain))
        parts.edges.append((_delayed(parts, f"delay_{at}_{k}", source, delay * how.dt, layer.n_in), weights))
        parts.edges.append((weights, neuron))
    if kind == "LI":
        fires = f"threshold_{at}"
        parts.nodes[fires] = nir.Threshold(threshold=array(_lowered(lif, how.dtype)))
        parts.edges.append((neuron, fires))
    if layer.recurrent is not None:
        back = array((layer.recurrent / gain).T)
        parts.nodes[f"recurrent_{at}"] = nir.Affine(weight=back, bias=array(0.0 * ones))
        parts.edges.extend([(fires, f"recurrent_{at}"), (f"recurrent_{at}", neuron)])
    drop = _fed_back(lif)
    if drop is not None:
        parts.nodes[f"reset_{at}"] = nir.Linear(weight=array(torch.diag(-drop / gain)))
        parts.edges.extend([(fires, f"reset_{at}"), (f"reset_{at}", neuron)])
    return neuron if how.analog else fires


def _delayed(parts: _Parts, name: str, source: str, seconds: float, n: int) -> str:
    """The node that sends what the `n` outputs of `source` sent so many seconds ago."""
    if seconds == 0.0:
        return source
    parts.nodes[name] = library("nir").Delay(delay=np.full(n, seconds))
    parts.edges.append((source, name))
    return name


def _kind(lif: LIF, how: _Export) -> Literal["LIF", "IF", "CubaLIF", "LI"]:
    """Which neurons of NIR are these; LI is followed by a Threshold."""
    match lif.reset:
        case "hard":
            return "IF" if bool((lif.leak == 1.0).all()) else "LIF"
        case "none":
            # snnTorch takes a membrane of zero for one that has just fired where a threshold is not positive.
            return "CubaLIF" if not how.analog and bool((lif.threshold > 0.0).all()) else "LI"
        case "soft" | "delayed":
            return "LI"
        case _:
            assert_never(lif.reset)


def _fed_back(lif: LIF) -> Tensor | None:
    """What a spike subtracts from the potential of the next step, (m,); None where NIR's neurons reset themselves."""
    match lif.reset:
        case "soft":
            return lif.threshold * lif.leak
        case "delayed":
            return lif.threshold
        case "hard" | "none":
            return None
        case _:
            assert_never(lif.reset)


def _neurons(kind: str, lif: LIF, how: _Export) -> Any:
    nir = library("nir")
    array = lambda tensor: _array(tensor, how.dtype)  # noqa: E731
    gain, threshold, ones = 1.0 - lif.leak, array(_lowered(lif, how.dtype)), array(torch.ones_like(lif.leak))
    rest = {"v_threshold": threshold, "v_reset": 0.0 * ones}
    if kind == "IF":
        return nir.IF(r=ones / how.dt, **rest)
    if kind == "LIF":
        return nir.LIF(tau=array(how.dt / gain), r=ones, v_leak=0.0 * ones, **rest)
    if kind == "LI":
        return nir.LI(tau=array(how.dt / gain), r=ones, v_leak=0.0 * ones)
    # Times in float64: readers compare tau_mem with their dt, and in float32 it may come out below it.
    exact = lambda tensor: _array(tensor, torch.float64)  # noqa: E731
    times = {
        "tau_syn": exact(how.dt / gain.double()),
        "tau_mem": exact(torch.full_like(gain, how.dt, dtype=torch.float64)),
    }
    return nir.CubaLIF(**times, w_in=exact(1.0 / gain.double()), r=ones, v_leak=0.0 * ones, **rest)


def _checked(layer: Layer, how: _Export) -> LIF:
    """The layer's neurons as LIF; ValueError for what NIR cannot express."""
    lif = lif_of(layer, "NIR")
    if bool((lif.leak == 0).all()) and lif.reset != "delayed" and not how.analog:
        lif = LIF(lif.leak, lif.threshold, "hard")  # without memory all resets are alike
    if lif.reset in ("soft", "delayed") and how.soft_reset == "raise":
        raise ValueError(
            f"a NIR LIF resets to a value, not by subtraction: reset {lif.reset!r} cannot be expressed. Pass "
            'soft_reset="subgraph" for an exact graph of LI, Threshold and feedback that few simulators read, train '
            'with reset="hard", or use to_snntorch, to_spikingjelly or to_norse'
        )
    if lif.reset == "delayed" and not bool((lif.threshold > 0).all()):
        raise ValueError('NIR holds reset "delayed" for positive thresholds only')
    if how.analog and lif.reset != "none":
        raise ValueError(
            f"the analog readout of neurons of reset {lif.reset!r} cannot be expressed in NIR, whose neurons do not "
            'send their membrane after reset: only reset "none" can'
        )
    integrates = lif.leak == 1.0
    if bool(integrates.any()) and not (bool(integrates.all()) and lif.reset == "hard"):
        raise ValueError("leak 1 cannot be expressed in NIR, except hard reset where all neurons of a layer have it")
    return lif


def _lowered(lif: LIF, dtype: torch.dtype) -> Tensor:
    gain = (1.0 - lif.leak).to(dtype)
    threshold = lif.threshold.to(dtype)
    exact = (torch.frexp(gain).mantissa == 0.5) | (gain == 0.0)
    return torch.where(exact, below(threshold), below(threshold, ROUNDING_STEPS))


def _array(tensor: Tensor, dtype: torch.dtype) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().cpu().to(dtype).numpy())
