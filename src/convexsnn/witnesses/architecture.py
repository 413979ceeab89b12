"""The shape of a network and the settings of its neurons, before any weight is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never, get_args

import torch

from convexsnn.checks import check_choice, check_integer, check_memory, check_real
from convexsnn.network import DTYPES, Branch, Hidden
from convexsnn.neurons import RESETS, Neuron, Reset, Threshold, lif
from convexsnn.readouts import Readout, as_readout

NeuronKind = Literal["lif", "threshold"]
"""The kinds of neurons that these settings describe; others come in a `Hidden` of one's own."""

# What Python keeps of a layer beside its weights: measured, and rounded down.
LAYER_BYTES = 2048


@dataclass(frozen=True)
class Architecture:
    """K parallel branches of L - 1 hidden layers each.

    Attributes
    ----------
    n_features : int
        d, the input features.
    depth : int
        L >= 2, counted with the linear output: L - 2 layers of `hidden` / K neurons and one of `last` / K a branch.
    branches : int
        The number K of branches, at least 1.
    hidden, last : int
        P_rec and P_last: neurons of each hidden layer, and of the last one, over all branches. What K does not divide
        is given to the first branches, one neuron each.
    neuron : {"lif", "threshold"}
    leak, threshold : float
        Leak, in [0, 1], and threshold of LIF neurons.
    reset : {"soft", "hard", "none", "delayed"}
        What a spike of a LIF neuron does to its membrane.
    recurrent : bool
        Explicit recurrent weights W_rec in every layer ("threshold" with it is the recurrent threshold network).
    bias : bool
        A bias on every neuron.
    readout : Readout
        What is read of the last layers, or a name of `convexsnn.readouts.READOUTS`, such as "spike".
    every_step : bool
        The network is read at every step, instead of the last of each sequence.
    dtype : {"float64", "float32"}
        Arithmetic in which the dynamics are defined.
    """

    n_features: int
    depth: int = 3
    branches: int = 2
    hidden: int = 256
    last: int = 512
    neuron: NeuronKind = "lif"
    leak: float = 0.99
    threshold: float = 1.0
    reset: Reset = "soft"
    recurrent: bool = False
    bias: bool = False
    readout: Readout | str = "membrane"
    every_step: bool = False
    dtype: str = "float64"

    def __post_init__(self) -> None:
        check_integer("n_features", self.n_features)
        check_integer("depth", self.depth, minimum=2)
        check_integer("branches", self.branches)
        check_integer("hidden", self.hidden, minimum=self.branches if self.depth > 2 else 1)
        check_integer("last", self.last, minimum=self.branches)
        check_choice("neuron", self.neuron, get_args(NeuronKind))
        check_real("leak", self.leak, 0.0, 1.0)
        check_real("threshold", self.threshold)
        check_choice("reset", self.reset, RESETS)
        as_readout(self.readout)
        check_choice("dtype", self.dtype, DTYPES)
        check_memory("depth, branches, hidden and last ask for hidden weights", self.least_bytes)

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch has it."""
        return DTYPES[self.dtype]

    @property
    def n_neurons(self) -> int:
        """All hidden neurons."""
        return self.hidden * (self.depth - 2) + self.last

    @property
    def least_bytes(self) -> int:
        """All weights, and what Python keeps of each layer, take at least so many bytes."""
        middle, last = self.hidden // self.branches, self.last // self.branches
        if self.depth == 2:
            weights = self.n_features * last
        else:
            weights = self.n_features * middle + (self.depth - 3) * middle**2 + middle * last
        if self.recurrent:
            weights += (self.depth - 2) * middle**2 + last**2
        size = torch.finfo(self.torch_dtype).bits // 8
        return self.branches * (size * weights + LAYER_BYTES * (self.depth - 1))

    def layer_sizes(self, branch: int) -> list[int]:
        """Neurons of each layer of branch number `branch`."""
        share = lambda total: total // self.branches + (branch < total % self.branches)  # noqa: E731
        return [share(self.hidden)] * (self.depth - 2) + [share(self.last)]

    def neurons(self, m: int) -> Neuron:
        """`m` neurons with these settings."""
        match self.neuron:
            case "lif":
                return lif(m, self.leak, self.threshold, self.reset, self.torch_dtype)
            case "threshold":
                return Threshold()
            case _:
                assert_never(self.neuron)

    @property
    def read_by(self) -> Readout:
        """`readout` as the object of that name."""
        return as_readout(self.readout)

    def hidden_of(self, branches: tuple[Branch, ...] = ()) -> Hidden:
        """The hidden network of these branches: its features, readout, rows and dtype are the architecture's."""
        return Hidden(self.n_features, branches, self.read_by, self.every_step, self.torch_dtype)
