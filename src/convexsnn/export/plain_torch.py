"""Plain torch: a module of `nn.Linear` layers and cells, to be trained, scripted or compiled; and back."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from convexsnn.caller import isolated
from convexsnn.export.cells import PlainCell, cell_of
from convexsnn.export.chains import unjoined
from convexsnn.export.readers import ReadMembrane
from convexsnn.export.wiring import ExportedBranch, ExportedLayer, ExportedNetwork, wire
from convexsnn.network import Branch, Hidden, Layer, Network
from convexsnn.surrogate import SurrogateShape
from convexsnn.surrogate.module import Gradients
from convexsnn.witnesses import pretrained, with_constant
from convexsnn.witnesses.pretrained import output_layer


@isolated
def to_torch(network: Network, gradients: Gradients | None = None, *, batch_first: bool = False) -> ExportedNetwork:
    """A network as a plain torch module in its own dtype: ``forward(x, state=None) -> (y, state)``.

    All neurons, resets, readouts, delays, recurrence and branches are held. The module can be trained (surrogate
    derivatives where a spike has none), scripted with `torch.jit.script`, compiled with `torch.compile` and exported
    with `torch.export`.

    Parameters
    ----------
    network : Network
        The network to export; it is copied.
    gradients : Gradients, optional
        What has a gradient, and of which shape. None is "arctan" of width 1 on the weights.
    batch_first : bool
        The module takes (n, T, d) instead of (T, n, d).

    Returns
    -------
    ExportedNetwork

    Raises
    ------
    ValueError
        When the network has no neurons, or neurons or a readout of a kind that the module has not.

    Examples
    --------
    >>> import torch
    >>> from convexsnn import Architecture, Network, gaussian
    >>> hidden = gaussian(Architecture(2, last=4, hidden=4), torch.Generator().manual_seed(0))
    >>> module = to_torch(Network(hidden, torch.ones(4, 3).double()))
    >>> y, state = module(torch.zeros(5, 7, 2).double())
    >>> y.shape
    torch.Size([7, 3])
    """
    chosen = gradients or Gradients(SurrogateShape())

    make_cell = partial(cell_of, gradients=chosen)
    return wire(network, make_cell, surrogate=chosen.surrogate, batch_first=batch_first)


@isolated
def from_torch(module: nn.Module, **settings: Any) -> Network:
    """A network from a torch module: the inverse of `to_torch`, or a stack of Linear layers and neurons.

    Parameters
    ----------
    module : torch.nn.Module
        What `to_torch` gave (trained further, perhaps), or a module that `witnesses.pretrained` reads and that ends in
        a `Linear` without neurons: the output. A bias of the output becomes the weight of an always-firing neuron.
    **settings
        Settings of `witnesses.pretrained`; none for a module of `to_torch`.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        When the module cannot be expressed exactly; see `pretrained`.
    """
    if not isinstance(module, ExportedNetwork):
        return _from_stack(module, settings)
    if settings:
        raise ValueError(f"{', '.join(settings)}: a module of to_torch brings its own settings")
    found: dict[int, tuple[Branch, Tensor]] = {}
    weights = _plain(module.output.weight).T.to(torch.float64)
    start = 0
    for exported in (cast(ExportedBranch, branch) for branch in module.branches):
        joined = Branch(tuple(map(_layer, cast(Any, exported.layers))), _readout_bias(exported.read))
        for number, branch in zip(exported.numbers, unjoined(joined, tuple(map(tuple, exported.blocks))), strict=True):
            end = start + module.readout.parts * branch.last.m
            found[number] = branch, weights[start:end]
            start = end
    ordered = [found[number] for number in sorted(found)]
    branches = tuple(branch for branch, _ in ordered)
    hidden = Hidden(module.n_features, branches, module.readout, module.every_step, branches[0].last.weight.dtype)
    return Network(hidden, torch.cat([W for _, W in ordered]))


def _layer(layer: ExportedLayer) -> Layer:
    recurrent = None if layer.recurrent is None else _plain(layer.recurrent.weight).T.contiguous()
    bias = None if layer.linear.bias is None else _plain(layer.linear.bias)
    if not isinstance(layer.cell, PlainCell):
        raise ValueError(f"module holds {type(layer.cell).__name__}: from_torch reads back what to_torch made")
    neuron = layer.cell.to_neuron()
    return Layer(_plain(layer.linear.weight).T.contiguous(), neuron, recurrent, bias, tuple(layer.delays))


def _readout_bias(read: nn.Module) -> Tensor | None:
    """The bias of the membrane readout, where `read` is one, or has one among several."""
    biases = [_plain(own.bias) for own in read.modules() if isinstance(own, ReadMembrane)]
    return biases[0] if biases else None


def _from_stack(module: nn.Module, settings: dict[str, Any]) -> Network:
    hidden = pretrained(module, **settings)
    output = output_layer(module)
    if output.in_features != hidden.n_last:
        raise ValueError(
            f"module's last Linear reads {output.in_features} neurons, but its last hidden layer has {hidden.n_last}: "
            "the output must be a Linear without neurons after it"
        )
    W = _plain(output.weight).T.to("cpu", torch.float64)
    if output.bias is not None:
        hidden, W = with_constant(hidden), torch.cat([W, _plain(output.bias).to("cpu", torch.float64)[None]])
    return Network(hidden, W.contiguous())


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()
