"""The cost of inference of any spiking torch module, counted while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from convexsnn.block_linear import BlockLinear
from convexsnn.cost import Cost, Tally, is_binary
from convexsnn.polishing.batches import Rows
from convexsnn.polishing.context import as_it_was
from convexsnn.polishing.find import is_spiking
from convexsnn.polishing.tape import RunModule

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
CONVOLVE: dict[type, Any] = {
    nn.Conv1d: nn.functional.conv1d,
    nn.Conv2d: nn.functional.conv2d,
    nn.Conv3d: nn.functional.conv3d,
}


def module_cost(module: nn.Module, loader: Iterable[Any], *, run: RunModule | None = None) -> Cost:
    """Run a module over a loader and count what its Linear and convolution layers and its spiking layers do.

    The same quantities as `cost.inference_cost` counts of a network of ours; the operations of a layer are ACs in the
    batches where all that it reads is -1, 0 or 1.

    Parameters
    ----------
    module : torch.nn.Module
        Left as it was.
    loader : iterable of (x, y)
        The sequences; they are read once.
    run : callable (module, x), optional
        How the module is shown a batch, as in `polish`.

    Raises
    ------
    ValueError
        When the module has no layer of these kinds or no spiking layer that we know, or the loader is empty.
    """
    layers = [part for part in module.modules() if isinstance(part, (nn.Linear, *CONVOLUTIONS))]
    spiking = [part for part in module.modules() if is_spiking(part)]
    if not layers or not spiking:
        raise ValueError(
            "module has no Linear or convolution layer, or no spiking layer that we know: nothing to count"
        )
    tally = Tally()
    sizes: dict[Any, int] = {}
    with as_it_was(module), torch.no_grad():
        module.eval()
        hooks = [
            layer.register_forward_pre_hook(lambda part, given: _operate(tally, part, given[0])) for layer in layers
        ]
        hooks += [part.register_forward_hook(lambda part, _, out: _spike(tally, sizes, part, out)) for part in spiking]
        try:
            inferences = _run_all(module, loader, run, sizes)
        finally:
            for hook in hooks:
                hook.remove()
    return tally.cost(
        neurons=sum(sizes.values()),
        synapses=sum(int((layer.weight != 0).sum()) for layer in layers),
        connections=sum(int(_present(layer).sum()) for layer in layers),
        inferences=inferences,
    )


def _run_all(module: nn.Module, loader: Iterable[Any], run: RunModule | None, sizes: dict[Any, int]) -> int:
    device, rows = next(module.parameters()).device, 0
    for batch in loader:
        given = Rows().read(batch)
        x = given.x.to(device) if isinstance(given.x, Tensor) else given.x
        sizes["rows"] = given.n
        module(x) if run is None else run(module, x)
        rows += given.n
    sizes.pop("rows", None)
    if rows == 0:
        raise ValueError("loader is empty")
    return rows


def _operate(tally: Tally, layer: nn.Module, given: Tensor) -> None:
    """Products of nonzero entries: the layer applied to 0/1 patterns of its input and its weights."""
    assert isinstance(layer, (nn.Linear, *CONVOLUTIONS))
    active, connected = (given != 0).to(given.dtype), (layer.weight != 0).to(given.dtype)
    if isinstance(layer, nn.Linear):
        ahead = lambda x, w: x @ w.T  # noqa: E731
    else:
        convolve = next(function for kind, function in CONVOLVE.items() if isinstance(layer, kind))
        options = (layer.stride, layer.padding, layer.dilation, layer.groups)
        ahead = lambda x, w: convolve(x, w, None, *options)  # noqa: E731
    effective = float(ahead(active, connected).sum(dtype=torch.float64))
    dense = float(ahead(torch.ones_like(active), _present(layer).to(given.dtype)).sum(dtype=torch.float64))
    tally.operate(effective, dense, binary=is_binary(given))


def _present(layer: nn.Module) -> Tensor:
    """Where the weight of a layer has a connection: between blocks there are none."""
    return layer.inside if isinstance(layer, BlockLinear) else torch.ones_like(layer.weight)  # type: ignore[arg-type]


def _spike(tally: Tally, sizes: dict[Any, int], part: nn.Module, out: Any) -> None:
    spikes = out[0] if isinstance(out, (tuple, list)) else out
    tally.spikes += float((spikes != 0).sum())
    tally.activations += spikes.numel()
    # Of time and batch flattened or kept, the neurons are what is left of one row.
    sizes[part] = spikes[0].numel() if len(spikes) == sizes["rows"] else spikes[0, 0].numel()
