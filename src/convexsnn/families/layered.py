"""What families of sampled layers share: the shape of the network."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch

from convexsnn.checks import check_flag, check_heeded
from convexsnn.families.base import Run, SampledFamily, check_neuron_settings, family
from convexsnn.network import Hidden
from convexsnn.neurons import Reset
from convexsnn.problem import Problem
from convexsnn.readouts import Readout, as_readout
from convexsnn.witnesses import Architecture, InputView, gaussian, with_constant


@family
class LayeredFamily(SampledFamily):
    """Parallel branches of hidden layers whose weights are sampled.

    Attributes
    ----------
    depth : int
        The network has this many layers L, counting the linear output: at least 2.
    branches : int
        The hidden network has this many parallel branches K.
    hidden : int
        Each hidden layer but the last has this many neurons P_rec, over all branches.
    last : int
        This is P_last in rho = beta / sqrt(P_last). The last hidden layers of all branches have this many neurons
        together.
    reset : {"soft", "hard", "none", "delayed"}
        When a LIF neuron fires, its membrane potential falls by the threshold (soft), falls to 0 (hard) or stays
        (none). With delayed it falls by the threshold one step later.
    recurrent : bool
        Every hidden layer also reads its own spikes of the step before.
    bias : bool
        Every hidden neuron has a bias.
    readout : {"spike", "membrane", "analog", "rate", "count", "leaky"}
        The output reads the spikes of the last hidden layer at the last step (spike), or whether its membrane
        potentials are at least 0 (membrane). It may also read the potentials themselves (analog). It may read over
        time: the share of the steps at which a neuron fired (rate), the number of these steps (count), or a sum of
        spikes that leaks by a tenth at every step (leaky). In Python any object of `readouts` may be given.
    standardise : bool
        Each feature counts less its mean in training, and in units of its standard deviation there. This is part of the
        weights and biases of the first layers, so input stays as it is. Features of zeros and ones stay bits.
    dtype : {"float64", "float32"}
        The network computes with numbers of this precision.
    """

    depth: int = 3
    branches: int = 2
    hidden: int = 256
    last: int = 512
    reset: Reset = "soft"
    recurrent: bool = False
    bias: bool = False
    readout: str | Readout = "membrane"
    standardise: bool = False
    dtype: str = "float64"

    def __post_init__(self) -> None:
        if not isinstance(self.readout, str):
            object.__setattr__(self, "readout", as_readout(self.readout))
        for flag in ("recurrent", "bias", "standardise"):
            check_flag(flag, getattr(self, flag))
        self.architecture(n_features=1, every_step=False)
        if self.depth == 2:
            check_heeded(self, ["hidden"], "with depth=2, where the one hidden layer is the last")
        check_neuron_settings(self, self.neurons()["neuron"])

    @property
    def n_last(self) -> int:
        """P_last."""
        return self.last * as_readout(self.readout).parts

    @property
    def centred(self) -> bool:
        """Whether `standardise` takes off the mean."""
        return True

    @abstractmethod
    def draw(self, problem: Problem, run: Run, generator: torch.Generator) -> Hidden:
        """Hidden layers for a problem as it is, on the device of the run."""

    def sample(self, problem: Problem, run: Run, generator: torch.Generator) -> Hidden:
        """See `SampledFamily`."""
        view = problem.view(standardise=self.standardise, centred=self.centred)
        return view.inside(self.draw(problem.seen(view), run, generator))

    @abstractmethod
    def neurons(self) -> dict[str, Any]:
        """Kind, leak and threshold of the neurons, as `Architecture` has them."""

    def architecture(self, n_features: int, *, every_step: bool) -> Architecture:
        """The shape of the network for input of `n_features` features."""
        return Architecture(
            n_features=n_features,
            depth=self.depth,
            branches=self.branches,
            hidden=self.hidden,
            last=self.last,
            reset=self.reset,
            recurrent=self.recurrent,
            bias=self.bias,
            readout=self.readout,
            every_step=every_step,
            dtype=self.dtype,
            **self.neurons(),
        )

    def describes(self, hidden: Hidden, *, intercept: bool) -> bool:
        """Whether the witnesses have this shape and such neurons."""
        shape = self.architecture(hidden.n_features, every_step=hidden.every_step)
        if len(hidden.branches) != self.branches + intercept or shape.n_neurons + intercept != hidden.n_neurons:
            return False  # before as many are drawn
        expected = [gaussian(shape, torch.Generator())]
        if self.standardise:
            ones = torch.ones(hidden.n_features, dtype=torch.float64)
            expected.append(InputView(ones, ones).inside(expected[0]))
        return any((with_constant(own) if intercept else own).same_shape(hidden) for own in expected)
