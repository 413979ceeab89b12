"""Hidden layers trained with surrogate gradients first, the paper's SG-CVX."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

import torch

from convexsnn.checks import check_integer
from convexsnn.families.base import Run, family
from convexsnn.families.layered import LayeredFamily
from convexsnn.network import Hidden
from convexsnn.problem import Problem
from convexsnn.surrogate import Epoch, SurrogateSettings, initial_network, train_surrogate
from convexsnn.witnesses.architecture import NeuronKind

# Steps of training where no number of epochs is given, and the fewest and most epochs that they are made to be.
STEPS, EPOCHS = 2000, (10, 60)


@family
class Surrogate(LayeredFamily, SurrogateSettings):
    """The hidden layers of a network that is trained from scratch with surrogate gradients, on the same objective.

    Weights are large at the start, so that deep layers spike, and leaks are learned. These defaults were chosen on
    sequential digits, with and without recurrent weights, and on 3000 images of sequential MNIST.

    Attributes
    ----------
    neuron : {"lif", "threshold"}
        Hidden neurons are leaky integrate-and-fire neurons (lif), or have no memory (threshold).
    leak : float
        A LIF neuron keeps this share of its membrane potential from one step to the next: 0 to 1. Training begins with
        this value.
    threshold : float
        A LIF neuron fires when its membrane potential reaches this value. Training begins with this value.
    taps : int
        Neurons of the first layer see their input at this many steps: now, and at earlier steps with equal gaps. The
        gaps of the first branch are one step, and those of the last branch are so wide that its taps span half of a
        sequence. With 1 there are no delays. With more than 1, `standardise` does not subtract the mean of the input.
    epochs : int, optional
        Training passes over the sequences this many times. Without a number it takes about 2000 steps, in 10 to 60
        passes.
    """

    name: ClassVar[str] = "surrogate"

    neuron: NeuronKind = "lif"
    leak: float = 0.99
    threshold: float = 1.0
    taps: int = 1
    epochs: int | None = None  # type: ignore[assignment] - a number once training begins
    batch_size: int | None = 32
    learning_rate: float = 2e-3
    gain: float = 2.0
    learn_leak: bool = True

    def __post_init__(self) -> None:
        LayeredFamily.__post_init__(self)
        check_integer("taps", self.taps)
        self.training(n=1)

    def training(self, n: int) -> SurrogateSettings:
        """How to train on n sequences."""
        settings = {own.name: getattr(self, own.name) for own in fields(SurrogateSettings)}
        if self.epochs is None:
            settings["epochs"] = epochs_on(n, self.batch_size)
        return SurrogateSettings(**settings)

    @property
    def centred(self) -> bool:
        """See `LayeredFamily`: what a neuron sees before the first step is zero, with or without a mean."""
        return self.taps == 1

    def neurons(self) -> dict[str, Any]:
        """See `LayeredFamily`."""
        return {"neuron": self.neuron, "leak": self.leak, "threshold": self.threshold}

    def describes(self, hidden: Hidden, *, intercept: bool) -> bool:  # noqa: ARG002
        """Leaks and thresholds may be learned, so many networks are of this family."""
        return True

    def draw(self, problem: Problem, run: Run, generator: torch.Generator) -> Hidden:
        """See `LayeredFamily`."""
        settings = self.training(len(problem.input))
        shape = self.architecture(problem.input.n_features, every_step=problem.every_step)
        delays = dilated(self.taps, self.branches, int(problem.input.lengths.median()))
        start = initial_network(shape, problem.n_outputs, generator, settings.gain, delays).to(run.device)

        def tell(epoch: Epoch) -> None:
            done = f"epoch {epoch.number} of {settings.epochs}, objective {epoch.objective:.4g}"
            run.observer.begin(f"surrogate gradients: {done}")

        return train_surrogate(start, problem, settings, seed=run.seed, on_epoch=tell).network.hidden


def epochs_on(n: int, batch_size: int | None) -> int:
    """How many passes over n sequences take about `STEPS` steps of training."""
    steps = 1 if batch_size is None else -(-n // check_integer("batch_size", batch_size))
    return min(EPOCHS[1], max(EPOCHS[0], STEPS // steps))


def dilated(taps: int, branches: int, steps: int) -> list[tuple[int, ...]]:
    """The delays of each branch on sequences of `steps` steps: dilations from 1 on, evenly on a logarithmic axis."""
    taps = min(taps, steps)
    largest = max(1.0, (steps - 1) / (2 * max(1, taps - 1)))
    dilations = [int(largest ** (k / max(1, branches - 1))) for k in range(branches)]
    return [tuple(dilation * i for i in range(taps)) for dilation in dilations]
