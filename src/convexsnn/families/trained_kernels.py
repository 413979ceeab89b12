"""Kernels whose weights are trained, for many sequences."""

from __future__ import annotations

from typing import ClassVar

import torch

from convexsnn.families.base import Run, family
from convexsnn.families.kernels import Kernels
from convexsnn.families.pilot import sampled_weights
from convexsnn.families.surrogate import epochs_on
from convexsnn.network import Hidden, Network
from convexsnn.problem import Problem
from convexsnn.surrogate import Epoch, SurrogateSettings, train_surrogate
from convexsnn.surrogate.settings import Schedule
from convexsnn.witnesses.kernels import kernels, with_unit_potentials


@family
class TrainedKernels(Kernels):
    """Kernels (`Kernels`) whose weights and thresholds are then trained by surrogate gradients.

    Training begins with kernels that are drawn at random, and with ridge regression on what is read of them. The
    trained output weights are dropped: the convex program finds better ones. With ten thousand sequences or more, a few
    hundred trained neurons are worth thousands of random ones. With few sequences, training learns them by heart.

    These defaults were chosen on 6000 and 50 000 training images of sequential MNIST.

    Attributes
    ----------
    last : int
        The number of neurons, all in one layer.
    lengths : tuple of int
        Each neuron sees each of its features at one of these numbers of steps, at least 1.
    epochs : int, optional
        Training passes over the sequences this many times. Without a number it takes about 2000 steps, in 10 to 60
        passes.
    batch_size : int or None
        A step of training takes this many sequences. In Python, None stands for all of them.
    learning_rate : float
        Training begins with this learning rate of Adam.
    schedule : {"constant", "cosine", "step"}
        The learning rate stays (constant), falls to 0 along half a cosine (cosine), or falls in steps (step): to a
        tenth after half of the epochs, and to a hundredth after three quarters.
    surrogate : {"arctan", "fast_sigmoid", "straight_through", "triangle", "exponential"}
        A function of this shape takes the place of the derivative of a spike.
    surrogate_width : float
        The surrogate derivative has this width. Potentials have a standard deviation of 1 when training begins.
    weight_decay : float
        Every step multiplies all weights by 1 - learning rate * this number.
    dropout : float
        Training silences this share of the columns, each for a whole sequence: at least 0 and less than 1.
    """

    name: ClassVar[str] = "trained_kernels"
    label_free: ClassVar[bool] = False
    batchwise: ClassVar[bool] = False

    last: int = 512
    lengths: tuple[int, ...] = (7,)
    epochs: int | None = None
    batch_size: int | None = 128
    learning_rate: float = SurrogateSettings.learning_rate
    schedule: Schedule = SurrogateSettings.schedule
    surrogate: str = "fast_sigmoid"
    surrogate_width: float = SurrogateSettings.surrogate_width
    weight_decay: float = SurrogateSettings.weight_decay
    dropout: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.training(n=1)

    def training(self, n: int) -> SurrogateSettings:
        """How to train on n sequences."""
        epochs = epochs_on(n, self.batch_size) if self.epochs is None else self.epochs
        return SurrogateSettings(
            epochs,
            self.batch_size,
            self.learning_rate,
            self.schedule,
            self.surrogate,
            self.surrogate_width,
            weight_decay=self.weight_decay,
            dropout=self.dropout,
            path_norm=False,
        )

    def sample(self, problem: Problem, run: Run, generator: torch.Generator) -> Hidden:
        """See `SampledFamily`."""
        shape = self.suited(problem, run).shape()
        view = problem.view(standardise=True, centred=False)
        seen = problem.seen(view)
        drawn = kernels(seen.input, generator, shape, every_step=seen.every_step)
        hidden = with_unit_potentials(drawn, seen.input)
        W = sampled_weights(hidden, seen, self.dropout, run.seed)
        settings = self.training(len(seen.input))

        def tell(epoch: Epoch) -> None:
            done = f"epoch {epoch.number} of {settings.epochs}, objective {epoch.objective:.4g}"
            run.observer.begin(f"surrogate gradients: {done}")

        start = Network(hidden, W).to(run.device)
        trained = train_surrogate(start, seen, settings, seed=run.seed, on_epoch=tell).network
        return view.inside(trained.hidden)
