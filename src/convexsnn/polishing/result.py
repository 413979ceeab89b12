"""What `polish` did, and how to undo it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.certificate import Certificate
from convexsnn.facts import WithFacts
from convexsnn.polishing.layer import OutputLayer
from convexsnn.solvers import Status


class Measured(NamedTuple):
    """A readout on the training data.

    Attributes
    ----------
    objective : float
        Loss plus rho times penalty, bias included.
    accuracy : float or None
        The share of right answers of the module itself, from 0 to 1. None for real targets.
    synapses : int
        Nonzero weights of the readout, bias left out.
    neurons : int
        Neurons that it reads: inputs with a nonzero weight.
    """

    objective: float
    accuracy: float | None
    synapses: int
    neurons: int


class PolishPoint(NamedTuple):
    """What came of one of several betas.

    Attributes
    ----------
    beta, rho : float
    objective, relative_gap : float
        Objective and relative gap of its solution on the training data.
    synapses : int
        The number of weights that are not 0. A solution without any is never written.
    validation : float or None
        The score of the module with these weights: the accuracy, or minus the mean squared error of real targets. None
        where nothing was validated.
    """

    beta: float
    rho: float
    objective: float
    relative_gap: float
    synapses: int
    validation: float | None


class Old:
    """The weights of a readout before it was polished."""

    def __init__(self, readout: OutputLayer) -> None:
        self.readout = readout
        self.weight = readout.weight.detach().clone()
        self.bias = None if readout.bias is None else readout.bias.detach().clone()

    @property
    def rows(self) -> Tensor:
        """Weight and bias as rows (F or F + 1, C), float64."""
        rows = [self.weight.T] if self.bias is None else [self.weight.T, self.bias[None]]
        return torch.cat(rows).to("cpu", torch.float64)

    def put_back(self) -> None:
        """Write them into the readout, bit for bit."""
        self.readout.write(self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class Polished(WithFacts):
    """What `polish` did.

    Attributes
    ----------
    certificate : Certificate
        The certificate of the readout that the module now has, in float64, on the recorded spikes.
    before, after : Measured
    improved : bool
        Whether weights were written; the old ones are kept where the new ones are not better.
    readout, spikes : str
        Names of the two layers in the module.
    steps : int
        The number T of steps of a sequence.
    reads_spikes : bool
        Whether the readout reads zeros and ones (stored as bits) or real numbers (stored as float64).
    silent, duplicates : int
        Inputs of the readout that are zero on all rows; that equal an earlier one.
    status : Status
    solver : str
    seconds : dict of str to float
        The seconds that "record" and "solve" took.
    beta : float
        The one that was picked, where there were several.
    head : float64 tensor of shape (C_out, C), or None
        The fixed map from the readout to the module's output; None where there is none.
    validation : tuple of two floats, or None
        The score of the module on the validation loader, before and after: see `PolishPoint`.
    path : tuple of PolishPoint
        One point for each beta, from the largest to the smallest.
    """

    certificate: Certificate
    before: Measured
    after: Measured
    improved: bool
    readout: str
    spikes: str
    steps: int
    reads_spikes: bool
    silent: int
    duplicates: int
    status: Status
    solver: str
    seconds: dict[str, float]
    beta: float
    head: Tensor | None
    validation: tuple[float, float] | None
    path: tuple[PolishPoint, ...]
    _old: Old = field(repr=False)

    def facts(self) -> dict[str, str]:
        """What changed, and what is proved of the readout that the module now has."""
        before, after = self.before, self.after
        accuracy = {}
        if before.accuracy is not None and after.accuracy is not None:
            accuracy["training accuracy"] = f"{before.accuracy:.2%} -> {after.accuracy:.2%}"
        return {
            "readout": f"{self.readout}, which reads {self.spikes}",
            "weights": "new" if self.improved else "the old ones, as no better ones were found",
            "objective": f"{before.objective:.6g} -> {after.objective:.6g}",
            **accuracy,
            "synapses": f"{before.synapses} -> {after.synapses}",
            "neurons that are read": f"{before.neurons} -> {after.neurons}",
            "lower bound": f"{self.certificate.dual:.6g}",
            "relative gap": f"{self.certificate.relative_gap:.2e}",
        }

    def restore(self) -> None:
        """Put the weights that the readout had before back into it, bit for bit."""
        self._old.put_back()
