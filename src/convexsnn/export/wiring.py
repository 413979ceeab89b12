"""The shell of every exported network: layers, parallel branches, readout and output weights around a target's cells.

Branches that differ in numbers only are one branch here, with block-diagonal weights (`chains`). Each layer takes all
steps before the next layer does, so its weights are applied once; only its cell goes step by step.

A *cell* is a module ``(current, carried, spikes) -> (spikes, carried, membrane)`` for one step. What it carries to the
next step is its own business, of shape (n, m * kept), where `kept` is an attribute of the cell, or 1. All else has
shape (n, m), and `membrane` is ours after reset. Everything here can be scripted and compiled when the cells can.

The state is a list of plain tensors. Each layer has three: what its cell carries, its spikes of shape (n, m), and what
the layer was shown before, of shape (n, longest delay, n_in), the last first. After its layers each branch has one of
shape (n, m, k): the k sums that its reader keeps for each neuron. The last tensor of the list counts the steps that
each sequence has seen, int64 of shape (n, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import List, Optional, Tuple, cast  # noqa: UP035 - TorchScript reads these names

import torch
from torch import Tensor, nn

from convexsnn.block_linear import BlockLinear
from convexsnn.checks import check_flag
from convexsnn.export.chains import Chain, blocks_of, chains_of
from convexsnn.export.readers import Reader, reader_of
from convexsnn.network import Hidden, Layer, Network, lif_of
from convexsnn.neurons import LIF
from convexsnn.readouts import Readout
from convexsnn.surrogate import SurrogateShape

# Branches alike become one, with block-diagonal weights, as long as no layer has more neurons than this: its weights
# grow with the square of their number.
WIDEST = 1024

MakeCell = Callable[[Layer], nn.Module]
"""From a layer (in the dtype of the export) to the target's cell."""


class ExportedLayer(nn.Module):
    """One hidden layer: `linear`, `recurrent` (or None) in `nn.Linear` layout, and the target's `cell`.

    `linear` sees the layer below as it was `delays` steps ago, side by side.
    """

    def __init__(self, layer: Layer, cell: nn.Module, inside: Tensor | None, recurrent_inside: Tensor | None) -> None:
        super().__init__()
        self.n_in, self.m, self.delays = layer.n_in, layer.m, list(layer.delays)
        self.linear = linear_of(layer.weight, layer.bias, inside)
        self.recurrent = None if layer.recurrent is None else linear_of(layer.recurrent, None, recurrent_inside)
        self.cell = cell
        self.kept = int(getattr(cell, "kept", 1))

    def forward(self, below: Tensor, state: List[Tensor]) -> Tuple[Tensor, Tensor, List[Tensor]]:  # noqa: UP006
        """All steps of `below`, (T, n, n_in): spikes, membranes after reset, and the layer's tensors of the state."""
        carried, spikes, past = state[0], state[1], state[2]
        longest, steps = self.delays[-1], below.shape[0]
        if longest > 0:
            line = torch.cat([past.transpose(0, 1).flip(0), below])
            past = line[steps:].flip(0).transpose(0, 1)
            below = torch.cat([line[longest - delay : longest - delay + steps] for delay in self.delays], dim=2)
        fired = torch.jit.annotate(List[Tensor], [])  # noqa: UP006
        membranes = torch.jit.annotate(List[Tensor], [])  # noqa: UP006
        for current in self.linear(below).unbind():  # whose gradient is one stack, unlike that of an index
            if self.recurrent is not None:
                current = current + self.recurrent(spikes)
            spikes, carried, membrane = self.cell(current, carried, spikes)
            fired.append(spikes)
            membranes.append(membrane)
        return torch.stack(fired), torch.stack(membranes), [carried, spikes, past]

    def zero_state(self, x: Tensor) -> List[Tensor]:  # noqa: UP006
        """The layer's tensors before the first step; x is (n, ...)."""
        carried = torch.zeros(x.shape[0], self.m * self.kept, dtype=x.dtype, device=x.device)
        spikes = torch.zeros(x.shape[0], self.m, dtype=x.dtype, device=x.device)
        past = torch.zeros(x.shape[0], self.delays[-1], self.n_in, dtype=x.dtype, device=x.device)
        return [carried, spikes, past]


class ExportedBranch(nn.Module):
    """A stack of layers and its readout: one branch of the network, or several side by side.

    Attributes
    ----------
    numbers : list of int
        The branches of the network that it holds, in this order.
    blocks : list of list of int
        For each layer, how many neurons of it are of each of these branches.
    """

    def __init__(self, layers: list[ExportedLayer], read: Reader, chain: Chain) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.read = read
        self.numbers, self.blocks = list(chain.numbers), [list(sizes) for sizes in chain.blocks]
        self.m = layers[-1].m
        self.size = 3 * len(layers) + 1

    def forward(self, x: Tensor, state: List[Tensor], steps: Tensor) -> Tuple[Tensor, List[Tensor]]:  # noqa: UP006
        """All steps of x, (T, n, d): features (T, n, m_last * parts), and the branch's tensors of the state."""
        below, membranes, after = x, x, torch.jit.annotate(List[Tensor], [])  # noqa: UP006
        for i, layer in enumerate(self.layers):
            below, membranes, own = layer(below, state[3 * i : 3 * i + 3])
            after.extend(own)
        sums, every = state[-1], torch.jit.annotate(List[Tensor], [])  # noqa: UP006
        for spikes, membrane in zip(below.unbind(), membranes.unbind()):  # noqa: B905 - TorchScript has no strict
            steps = steps + 1
            features, sums = self.read(spikes, membrane, sums, steps)
            every.append(features)
        after.append(sums)
        return torch.stack(every), after

    def zero_state(self, x: Tensor) -> List[Tensor]:  # noqa: UP006
        """The branch's tensors before the first step; x is (n, ...)."""
        zeros = torch.jit.annotate(List[Tensor], [])  # noqa: UP006
        for layer in self.layers:
            zeros.extend(layer.zero_state(x))  # type: ignore[operator]
        zeros.append(torch.zeros(x.shape[0], self.m, self.read.kept, dtype=x.dtype, device=x.device))
        return zeros


class ExportedNetwork(nn.Module):
    """A network of ours in the terms of another library.

    ``forward(x, state=None) -> (y, state)``: x of shape (T, n, d) in the module's dtype, or (n, T, d) where
    `batch_first`. y has shape (n, C) after the last step, or that of x with C in place of d when `every_step`. None is
    the zero state; the state returned goes on where the steps ended. Sequences of unequal length: set `every_step` and
    read y of each at its own last step.

    Attributes
    ----------
    branches : ModuleList of ExportedBranch
        Branches of the network that differ in numbers only are one branch here.
    output : nn.Linear
        W, without bias.
    readout : Readout
        What is read of the last layers.
    every_step : bool
    batch_first : bool
    n_features : int
        The number d of features of a step.
    """

    def __init__(
        self,
        branches: list[ExportedBranch],
        output: nn.Linear,
        *,
        readout: Readout,
        every_step: bool,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        self.readout = readout
        self.branches = nn.ModuleList(branches)
        self.output = output
        self.every_step, self.batch_first = every_step, batch_first
        self.n_features = cast(ExportedLayer, branches[0].layers[0]).n_in
        self.size = sum(branch.size for branch in branches) + 1

    def forward(self, x: Tensor, state: Optional[List[Tensor]] = None) -> Tuple[Tensor, List[Tensor]]:  # noqa: UP006, UP045
        """Outputs and the state after the last step; see the class."""
        features, after = self.features(x, state)
        if not self.every_step:
            return self.output(features[:, -1] if self.batch_first else features[-1]), after
        return self.output(features), after

    @torch.jit.export
    def features(self, x: Tensor, state: Optional[List[Tensor]] = None) -> Tuple[Tensor, List[Tensor]]:  # noqa: UP006, UP045
        """What the output layer reads at every step, x with P_last in place of d, and the state after the last step."""
        self.check_input(x, state)
        steps_first = x.transpose(0, 1) if self.batch_first else x
        before = self.zero_state(x) if state is None else state
        parts = torch.jit.annotate(List[Tensor], [])  # noqa: UP006
        after = torch.jit.annotate(List[Tensor], [])  # noqa: UP006
        start, steps = 0, before[-1]
        for branch in self.branches:
            end = start + branch.size  # type: ignore[operator]
            read, own = branch(steps_first, before[start:end], steps)
            parts.append(read)
            after.extend(own)
            start = end
        after.append(steps + steps_first.shape[0])
        read = torch.cat(parts, dim=2)
        return read.transpose(0, 1) if self.batch_first else read, after

    @torch.jit.export
    def check_input(self, x: Tensor, state: Optional[List[Tensor]]) -> None:  # noqa: UP006, UP045
        """ValueError where x or state is not of the shape and dtype of the network."""
        axes = "(n, T, d), batch first" if self.batch_first else "(T, n, d), time first"
        if x.dim() != 3:
            raise ValueError(f"x must have shape {axes}, but it has {x.dim()} axes")
        n, T = (x.shape[0], x.shape[1]) if self.batch_first else (x.shape[1], x.shape[0])
        if T == 0:
            raise ValueError("x must have at least one step")
        if x.shape[2] != self.n_features:
            raise ValueError(
                f"x must have shape {axes}, with d = {self.n_features} features, but its last axis has {x.shape[2]}: "
                "exchange axes with x.permute"
            )
        if x.dtype != self.output.weight.dtype:
            raise ValueError(
                f"x is {x.dtype}, but the module computes in {self.output.weight.dtype}: pass x.to(that dtype), or "
                "convert the module with module.float() or module.double()"
            )
        if state is not None and len(state) != self.size:
            raise ValueError(f"state must be what this module returned: {self.size} tensors, got {len(state)}")
        if state is not None and state[0].shape[0] != n:
            raise ValueError(
                f"state is of {state[0].shape[0]} sequences, but x, of shape {axes}, has n = {n}: are its axes in "
                "another order?"
            )

    @torch.jit.export
    def zero_state(self, x: Tensor) -> List[Tensor]:  # noqa: UP006
        """The state before the first step of x."""
        step = x[:, 0] if self.batch_first else x[0]
        zeros = torch.jit.annotate(List[Tensor], [])  # noqa: UP006
        for branch in self.branches:
            zeros.extend(branch.zero_state(step))  # type: ignore[operator]
        zeros.append(torch.zeros(step.shape[0], 1, dtype=torch.int64, device=x.device))
        return zeros


def wire(
    network: Network,
    make_cell: MakeCell,
    *,
    prepare: Callable[[Layer], Layer] = lambda layer: layer,
    prepare_bias: Callable[[Layer, Tensor], Tensor] = lambda layer, bias: bias,  # noqa: ARG005
    surrogate: SurrogateShape | None = None,
    batch_first: bool = False,
) -> ExportedNetwork:
    """Put the cells that `make_cell` makes of each layer into the shell.

    Parameters
    ----------
    network : Network
    make_cell : callable (Layer) -> Module
    prepare : callable (Layer) -> Layer
        The weights as the target's cell wants them; `make_cell` is given the layer before this.
    prepare_bias : callable (Layer, Tensor) -> Tensor
        The same for the bias of the membrane readout of a last layer.
    surrogate : SurrogateShape, optional
        The shape of the surrogate derivative of the membrane readout.
    batch_first : bool

    Raises
    ------
    ValueError
        When the network has no neurons, or a readout that exported modules do not know.
    """
    check_flag("batch_first", batch_first)
    hidden = check_neurons(network)
    bump = surrogate or SurrogateShape()

    def layers(chain: Chain) -> Iterator[ExportedLayer]:
        below = None  # the first layers of branches see the same input
        for layer, sizes in zip(chain.branch.layers, chain.blocks, strict=True):
            inside = None if below is None else blocks_of(below, sizes, len(layer.delays))
            yield ExportedLayer(prepare(layer), make_cell(layer), inside, blocks_of(sizes, sizes))
            below = sizes

    chains = chains_of(network, widest=WIDEST)
    branches = [
        ExportedBranch(
            list(layers(chain)),
            reader_of(hidden, chain.branch, partial(prepare_bias, chain.branch.last), bump),
            chain,
        )
        for chain in chains
    ]
    output = linear_of(torch.cat([chain.W for chain in chains]).to(hidden.dtype), None)
    reading = {"readout": hidden.readout, "every_step": hidden.every_step}
    return ExportedNetwork(branches, output, **reading, batch_first=batch_first)


def check_neurons(network: Network) -> Hidden:
    """The hidden part of a network; TypeError for anything else, ValueError where it has no neurons."""
    if not isinstance(network, Network):
        raise TypeError(
            f"network must be a convexsnn.Network, such as network_ of an estimator, not {type(network).__name__}"
        )
    if not network.hidden.branches:
        raise ValueError("network has no neurons (no column carries weight): its output is zero, nothing to export")
    return network.hidden


def refuse(layer: Layer, resets: tuple[str, ...], target: str) -> LIF:
    """The LIF neurons of a layer (see `lif_of`); ValueError for a kind or a reset that `target` lacks."""
    neuron = lif_of(layer, f"export to {target}")
    if neuron.reset not in resets:
        raise ValueError(
            f"{target} has no neuron with reset {neuron.reset!r} (only {', '.join(map(repr, resets))}): "
            "use to_torch, which has all"
        )
    if neuron.reset == "delayed" and not bool((neuron.threshold > 0).all()):
        raise ValueError(f"{target} holds reset 'delayed' for positive thresholds only")
    return neuron


def below(threshold: Tensor, steps: int = 1) -> Tensor:
    """The number `steps` below each threshold in its dtype: v > below(theta) is v >= theta, exact ties included."""
    for _ in range(steps):
        threshold = torch.nextafter(threshold, torch.full_like(threshold, -torch.inf))
    return threshold


def linear_of(weight: Tensor, bias: Tensor | None, inside: Tensor | None = None) -> nn.Linear:
    """`weight` of shape (n_in, m) as an `nn.Linear`, copied; `inside` is where it has blocks."""
    n_in, m = weight.shape
    if inside is None:
        linear = nn.Linear(n_in, m, bias=bias is not None, dtype=weight.dtype, device=weight.device)
    else:
        linear = BlockLinear(weight, bias, inside)
    with torch.no_grad():
        linear.weight.copy_(weight.T)
        if bias is not None:
            cast(Tensor, linear.bias).copy_(bias)
    return linear
