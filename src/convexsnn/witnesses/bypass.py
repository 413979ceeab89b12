"""A linear function of the input as part of a network: neurons that never spike, of which the membrane is read."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.network import Branch, Layer, Network
from convexsnn.neurons import lif
from convexsnn.readouts import Analog, Readout, Several


@isolated
def with_bypass(network: Network, weights: Tensor, steps: int) -> Network:
    """The network whose outputs are larger by a linear function of the features at the last steps.

    Each feature at each of these steps has a neuron of leak 0 behind a delay, so that its membrane is the feature. Its
    threshold is the largest number of the network's dtype: it never spikes. Where the network's readout does not read
    membranes, it does so beside what it reads, with weights of zero for all other neurons.

    Parameters
    ----------
    network : Network
    weights : float64 tensor of shape (steps * d, C)
        The weights of the d features at the last step, then those of the step before, and so on.
    steps : int
        At least 1.
    """
    hidden = network.hidden
    dtype, parts, readouts = hidden.dtype, hidden.readout.parts, _parts_of(hidden.readout)
    W = network.W.unflatten(0, (-1, parts))
    if Analog() not in readouts:
        readouts = (*readouts, Analog())
        W = torch.cat([W, W.new_zeros(len(W), 1, W.shape[2])], dim=1)
    never = lif(len(weights), 0.0, torch.finfo(dtype).max, "none", dtype)
    layer = Layer(torch.eye(len(weights), dtype=dtype), never, delays=tuple(range(steps)))
    own = W.new_zeros(len(weights), W.shape[1], W.shape[2])
    own[:, sum(readout.parts for readout in readouts[: readouts.index(Analog())])] = weights.to(W)
    readout = Several(readouts) if len(readouts) > 1 else hidden.readout
    branches = (*hidden.branches, Branch((layer,)).to(hidden.device))
    return Network(replace(hidden, branches=branches, readout=readout), torch.cat([W, own]).flatten(end_dim=1))


def _parts_of(readout: Readout) -> tuple[Readout, ...]:
    return readout.readouts if isinstance(readout, Several) else (readout,)
