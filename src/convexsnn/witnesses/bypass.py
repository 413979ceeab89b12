"""The input itself as columns: neurons that never spike, of which the output reads the membrane."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.network import Branch, Hidden, Layer
from convexsnn.neurons import lif
from convexsnn.readouts import Analog, Readout, Several


@isolated
def with_bypass(hidden: Hidden, steps: int, unit: Tensor) -> Hidden:
    """`hidden` with one more branch, of which the output reads the features at each of the last `steps` steps.

    Each feature at each of these steps has a neuron of leak 0, whose membrane is the feature, with a delay. Its
    threshold is the largest number of the network's dtype, so that it never spikes.

    Parameters
    ----------
    hidden : Hidden
    steps : int
        At least 1.
    unit : float64 tensor of shape (d,)
        Features count in these units, which are positive.

    Raises
    ------
    ValueError
        When the network's readout does not read the membrane itself.
    """
    _check_analog(hidden.readout)
    weight = torch.diag(torch.cat([1.0 / unit.cpu()] * steps)).to(hidden.dtype)
    never = torch.finfo(hidden.dtype).max
    layer = Layer(weight, lif(len(weight), 0.0, never, "none", hidden.dtype), delays=tuple(range(steps)))
    return replace(hidden, branches=(*hidden.branches, Branch((layer,)).to(hidden.device)))


def _check_analog(readout: Readout) -> None:
    own = readout.readouts if isinstance(readout, Several) else (readout,)
    if not any(isinstance(one, Analog) for one in own):
        raise ValueError(
            f"bypass is read by the readout 'analog', but the network is read by {str(readout)!r}: choose 'analog', "
            "or several readouts with it"
        )
