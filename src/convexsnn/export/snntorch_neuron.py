"""Neurons of snnTorch that take off the threshold itself; imported only where snnTorch is installed."""

from __future__ import annotations

from typing import Any

import snntorch
from torch import Tensor


class SoftLeaky(snntorch.Leaky):
    """mem = beta * (mem - reset * theta) + input: theta itself is subtracted, and before the leak.

    The stock ``reset_mechanism="subtract"`` subtracts `threshold` after the leak. An `RLeaky` with V = -beta * theta is
    the same up to rounding only, which matters at exact ties.

    Parameters
    ----------
    theta : float tensor of shape (m,)
        A spike subtracts this from the membrane, one value for each neuron.
    **settings
        Settings of `snntorch.Leaky`.
    """

    def __init__(self, theta: Tensor, **settings: Any) -> None:
        super().__init__(reset_mechanism="subtract", **settings)
        self.register_buffer("theta", theta)

    def _base_sub(self, input_: Tensor) -> Tensor:
        return self.beta.clamp(0, 1) * (self.mem - self.reset * self.theta) + input_


class LateSynaptic(snntorch.Synaptic):
    """The stock `Synaptic` with reset_mechanism="subtract", which subtracts theta instead of `threshold`.

    Parameters
    ----------
    theta : float tensor of shape (m,)
        A spike subtracts this from the membrane, one value for each neuron.
    **settings
        Settings of `snntorch.Synaptic`.
    """

    def __init__(self, theta: Tensor, **settings: Any) -> None:
        super().__init__(reset_mechanism="subtract", **settings)
        self.register_buffer("theta", theta)

    def _base_sub(self, input_: Tensor) -> tuple[Tensor, Tensor]:
        synapse, membrane = self._base_state_function(input_)
        return synapse, membrane - self.reset * self.theta
