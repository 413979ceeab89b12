"""All neurons of a kind at once: training to global optimality."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from convexsnn.bounds import FirstLayer, NetworkFamily
from convexsnn.checks import check_choice, check_flag, check_integer, check_real
from convexsnn.exact import ExactColumns, ExactSettings, check_cost
from convexsnn.families.base import Run, WitnessFamily, check_neuron_settings, family
from convexsnn.network import Hidden
from convexsnn.neurons import Reset
from convexsnn.problem import Problem
from convexsnn.witnesses import Architecture
from convexsnn.witnesses.architecture import NeuronKind


@family
class Exact(WitnessFamily, ExactSettings):
    """All neurons of one kind. It is proved that no network of one or two hidden layers of them is better.

    This is for little data. A problem that would cost too much is refused, and the message says what it would cost. The
    certificate has scope "global".

    Attributes
    ----------
    last : int
        This is P_last in rho = beta / sqrt(P_last). The network may end with any number of neurons.
    neuron : {"lif", "threshold"}
        Hidden neurons are leaky integrate-and-fire neurons (lif), or have no memory (threshold).
    leak : float
        A LIF neuron keeps this share of its membrane potential from one step to the next: 0 to 1.
    threshold : float
        A LIF neuron fires when its membrane potential reaches this value.
    reset : {"soft", "hard", "none", "delayed"}
        When a LIF neuron fires, its membrane potential falls by the threshold (soft), falls to 0 (hard) or stays
        (none). With delayed it falls by the threshold one step later.
    recurrent : bool
        Every hidden neuron also reads its own spike of the step before.
    bias : bool
        Every hidden neuron has a bias.
    first_layer : int
        With 1 to 3, every last-layer neuron reads a first hidden layer of its own, of at most so many neurons. This
        needs the method "pricing" and very little data. 0 is one hidden layer.
    readout : {"spike", "membrane"}
        The output reads the spikes of the last hidden layer (spike), or whether its membrane potentials are at least 0
        (membrane).
    """

    name: ClassVar[str] = "exact"

    last: int = 512
    neuron: NeuronKind = "lif"
    leak: float = 0.99
    threshold: float = 1.0
    reset: Reset = "soft"
    recurrent: bool = False
    bias: bool = False
    first_layer: int = 0
    readout: str = "membrane"

    def __post_init__(self) -> None:
        ExactSettings.__post_init__(self)
        check_integer("last", self.last)
        check_choice("readout", self.readout, ("spike", "membrane"))
        check_integer("first_layer", self.first_layer, minimum=0)
        if self.first_layer and self.method != "pricing":
            raise ValueError("first_layer needs method='pricing': the patterns of two layers are not listed")
        if self.first_layer and self.recurrent:
            raise ValueError("recurrent must be False with first_layer: neurons of a first layer have no such weights")
        for flag in ("recurrent", "bias"):
            check_flag(flag, getattr(self, flag))
        check_real("leak", self.leak, 0.0, 1.0)
        self.networks(1, every_step=False, intercept=False)
        check_neuron_settings(self, self.neuron)

    @property
    def n_last(self) -> int:
        """P_last in rho = beta / sqrt(P_last)."""
        return self.last

    def n_last_of(self, witnesses: Hidden) -> int:  # noqa: ARG002 - whatever number of neurons was found
        """See `WitnessFamily`."""
        return self.last

    def check(self, *, every_step: bool, device: str = "cpu") -> None:  # noqa: ARG002
        """See `WitnessFamily`."""
        if str(device) != "cpu":
            raise ValueError(f"device must be 'cpu' for witnesses='exact', not {device!r}")

    def check_cost(self, problem: Problem) -> None:
        """See `WitnessFamily`."""
        if self.method == "arrangement":
            check_cost(self.networks_of(problem), problem.input, self, problem.n_outputs)

    def networks(self, n_features: int, *, every_step: bool, intercept: bool) -> NetworkFamily:
        """The networks among which the best one is found."""
        shape = Architecture(
            n_features, 2, 1, 1, 1, self.neuron, self.leak, self.threshold, self.reset, self.recurrent, self.bias,
            self.readout, every_step,  # type: ignore[arg-type] - checked by Architecture
        )  # fmt: skip
        family = NetworkFamily.of_architecture(shape, intercept=intercept)
        if self.first_layer == 0:
            return family
        return replace(family, layers=2, below=FirstLayer(family.units[0], self.first_layer))

    def networks_of(self, problem: Problem) -> NetworkFamily:
        """The networks of this family for a problem."""
        return self.networks(problem.input.n_features, every_step=problem.every_step, intercept=problem.intercept)

    def columns(self, problem: Problem, run: Run) -> ExactColumns:
        """See `WitnessFamily`."""
        return ExactColumns(problem, self.networks_of(problem), self, run.options, run.observer, self.last)
