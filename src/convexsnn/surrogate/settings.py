"""How surrogate-gradient training is done."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from convexsnn.checks import check_choice, check_flag, check_integer, check_real, check_share
from convexsnn.surrogate.module import Gradients
from convexsnn.surrogate.shapes import SurrogateShape

Schedule = Literal["constant", "cosine", "step"]
SCHEDULES: tuple[str, ...] = get_args(Schedule)


@dataclass(frozen=True)
class SurrogateSettings:
    """Settings of Adam on surrogate gradients. `PAPER_BASELINE` are those of the paper's SG.

    `convexsnn.surrogate.shapes.SurrogateShape` has the formulas of the surrogate derivatives.

    Attributes
    ----------
    epochs : int
        Training passes over the sequences this many times.
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
        The surrogate derivative has this width, in units of the membrane potential. It may be infinite.
    detach_reset : bool
        No gradient passes through the spike in the reset.
    learn_leak : bool
        Training changes the leak of every LIF neuron too, between 0 and 1.
    learn_threshold : bool
        Training changes the threshold of every LIF neuron too.
    path_norm : bool
        The training loss contains the penalty of the convex program, rho * Omega(W). Training then lowers the program's
        own objective.
    weight_decay : float
        Every step multiplies all weights by 1 - learning rate * this number.
    clip_norm : float or None
        The gradient of all parameters together is scaled down to this norm where it is longer. In Python, None leaves
        it as it is.
    dropout : float
        Training silences this share of the neurons, each for a whole sequence: at least 0 and less than 1.
    patience : int or None
        Training stops after this many epochs in a row without a better validation score. Without a number it goes on to
        the end. The network of the best epoch is kept either way, where there are validation data.
    gain : float
        Training begins with weights that are drawn evenly from -gain / sqrt(n) to gain / sqrt(n), for n inputs of a
        layer.
    """

    epochs: int = 30
    batch_size: int | None = 128
    learning_rate: float = 2e-3
    schedule: Schedule = "cosine"
    surrogate: str = "arctan"
    surrogate_width: float = 1.0
    detach_reset: bool = True
    learn_leak: bool = False
    learn_threshold: bool = False
    path_norm: bool = True
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    dropout: float = 0.0
    patience: int | None = None
    gain: float = 1.0

    def __post_init__(self) -> None:
        check_integer("epochs", self.epochs)
        if self.batch_size is not None:
            check_integer("batch_size", self.batch_size)
        check_real("learning_rate", self.learning_rate, 0.0, open_minimum=True)
        check_choice("schedule", self.schedule, SCHEDULES)
        SurrogateShape(self.surrogate, self.surrogate_width)
        for flag in ("detach_reset", "learn_leak", "learn_threshold", "path_norm"):
            check_flag(flag, getattr(self, flag))
        check_real("weight_decay", self.weight_decay, 0.0)
        if self.clip_norm is not None:
            check_real("clip_norm", self.clip_norm, 0.0, open_minimum=True)
        check_share("dropout", self.dropout)
        if self.patience is not None:
            check_integer("patience", self.patience)
        check_real("gain", self.gain, 0.0, open_minimum=True)

    @property
    def gradients(self) -> Gradients:
        """What has a gradient, and which."""
        surrogate = SurrogateShape(self.surrogate, self.surrogate_width)
        return Gradients(surrogate, self.detach_reset, self.learn_leak, self.learn_threshold)

    def rate(self, progress: float) -> float:
        """The learning rate when the share `progress` in [0, 1] of the epochs is done."""
        if self.schedule == "cosine":
            return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
        if self.schedule == "step":
            return self.learning_rate * (1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01)
        return self.learning_rate


PAPER_BASELINE = SurrogateSettings(
    epochs=200,
    batch_size=None,
    learning_rate=1e-2,
    schedule="constant",
    path_norm=False,
    clip_norm=None,
)
"""Full-batch Adam for 200 epochs with snnTorch's default surrogate; the learning rate is picked on validation data."""
