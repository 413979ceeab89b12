"""How surrogate-gradient training is done."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from convexsnn.checks import check_choice, check_flag, check_integer, check_real, check_share
from convexsnn.surrogate.module import Gradients
from convexsnn.surrogate.shapes import Surrogate

Schedule = Literal["constant", "cosine", "step"]
SCHEDULES: tuple[str, ...] = get_args(Schedule)


@dataclass(frozen=True)
class SurrogateSettings:
    """Settings of Adam on surrogate gradients. `PAPER_BASELINE` are those of the paper's SG.

    Attributes
    ----------
    epochs : int
        Passes over the training sequences.
    batch_size : int or None
        Sequences a step; None is all of them (full batch).
    learning_rate : float
        At the start.
    schedule : {"constant", "cosine", "step"}
        Of the learning rate over the epochs: constant; down to zero along half a cosine; or to a tenth after half of
        the epochs and to a hundredth after three quarters.
    surrogate : {"arctan", "fast_sigmoid", "straight_through", "triangle", "exponential"}
        Shape; see `Surrogate`.
    surrogate_width : float
        Width of the surrogate derivative, in units of the potential; infinity is allowed.
    detach_reset : bool
        No gradient through the spike in the reset.
    learn_leak, learn_threshold : bool
        Of every LIF neuron (leaks are kept in [0, 1]).
    path_norm : bool
        Add the program's penalty, rho * Omega(W), to the loss: the objective is then that of the convex program.
    weight_decay : float
        Decoupled, of all weights.
    clip_norm : float or None
        Largest norm of the gradient of all parameters together.
    dropout : float
        In [0, 1): share of spiking neurons silenced, for all steps of a sequence.
    patience : int or None
        Epochs without a better validation score after which training stops; None trains to the end. With validation
        data the network of the best epoch is returned either way.
    gain : float
        Scale of the weights that training begins with; see `initial_network`.
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
        Surrogate(self.surrogate, self.surrogate_width)
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
        surrogate = Surrogate(self.surrogate, self.surrogate_width)
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
