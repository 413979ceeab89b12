"""Gaussian hidden weights, the paper's CVX."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from convexsnn.checks import check_choice
from convexsnn.families.base import Run, family
from convexsnn.families.layered import LayeredFamily
from convexsnn.network import Hidden
from convexsnn.problem import Problem
from convexsnn.witnesses import gaussian
from convexsnn.witnesses.architecture import NeuronKind
from convexsnn.witnesses.gaussian import VARIANTS, Variant


@family
class Gaussian(LayeredFamily):
    """Hidden weights drawn at random from a normal distribution. This is quick, and layers may have any shape.

    Attributes
    ----------
    neuron : {"lif", "threshold"}
        Hidden neurons are leaky integrate-and-fire neurons (lif), or have no memory (threshold).
    leak : float
        A LIF neuron keeps this share of its membrane potential from one step to the next: 0 to 1.
    threshold : float
        A LIF neuron fires when its membrane potential reaches this value.
    variant : {"standard", "normalized", "orthogonal"}
        Weights are drawn independently (standard). They may then be scaled so that those into a neuron have length 1
        (normalized), or be orthonormal (orthogonal).

    References
    ----------
    arXiv 2605.08022, gaussian witnesses.
    """

    name: ClassVar[str] = "gaussian"
    label_free: ClassVar[bool] = True
    batchwise: ClassVar[bool] = True

    neuron: NeuronKind = "lif"
    leak: float = 0.99
    threshold: float = 1.0
    variant: Variant = "standard"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("variant", self.variant, VARIANTS)

    def neurons(self) -> dict[str, Any]:
        """See `LayeredFamily`."""
        return {"neuron": self.neuron, "leak": self.leak, "threshold": self.threshold}

    def draw(self, problem: Problem, run: Run, generator: torch.Generator) -> Hidden:
        """See `LayeredFamily`."""
        shape = self.architecture(problem.source.n_features, every_step=problem.every_step)
        return gaussian(shape, generator, self.variant).to(run.device)
