"""Gaussian hidden weights with leaks, thresholds, gains and biases of their own."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from convexsnn.checks import check_range, check_real
from convexsnn.families.base import Run, family
from convexsnn.families.layered import LayeredFamily
from convexsnn.network import Hidden
from convexsnn.problem import Problem
from convexsnn.witnesses import Heterogeneity, heterogeneous
from convexsnn.witnesses.architecture import NeuronKind
from convexsnn.witnesses.heterogeneous import Range


@family
class Heterogeneous(LayeredFamily):
    """Gaussian hidden weights, with a leak, a threshold, a gain and a bias drawn for each neuron.

    A range is a pair (smallest, largest). Numbers are drawn from it so that their logarithms are uniform.

    Attributes
    ----------
    neuron : {"lif", "threshold"}
        Hidden neurons are leaky integrate-and-fire neurons (lif), or have no memory (threshold).
    memory_range : (float, float)
        A LIF neuron remembers for tau steps, drawn from this range, more than 0: its leak is exp(-1 / tau).
    threshold_range : (float, float)
        The threshold of a LIF neuron is drawn from this range, more than 0.
    gain_range : (float, float)
        All weights into a neuron are multiplied by a number that is drawn from this range, more than 0.
    bias_scale : float
        The bias of a neuron is normally distributed with this standard deviation, before its gain. 0 gives no bias.
    """

    name: ClassVar[str] = "heterogeneous"
    label_free: ClassVar[bool] = True
    batchwise: ClassVar[bool] = True

    neuron: NeuronKind = "lif"
    memory_range: Range = Heterogeneity.memory
    threshold_range: Range = Heterogeneity.threshold
    gain_range: Range = Heterogeneity.gain
    bias_scale: float = Heterogeneity.bias

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("memory_range", "threshold_range", "gain_range"):
            object.__setattr__(self, name, check_range(name, getattr(self, name)))
        check_real("bias_scale", self.bias_scale, 0.0)

    def spread(self) -> Heterogeneity:
        """The ranges from which neurons are drawn."""
        return Heterogeneity(self.memory_range, self.threshold_range, self.gain_range, self.bias_scale)

    def neurons(self) -> dict[str, Any]:
        """See `LayeredFamily`."""
        return {"neuron": self.neuron}

    def describes(self, hidden: Hidden, *, intercept: bool) -> bool:  # noqa: ARG002
        """Leaks, thresholds and biases are drawn, so many networks may be of this family."""
        return True

    def draw(self, problem: Problem, run: Run, generator: torch.Generator) -> Hidden:
        """See `LayeredFamily`."""
        shape = self.architecture(problem.source.n_features, every_step=problem.every_step)
        return heterogeneous(shape, generator, self.spread()).to(run.device)
