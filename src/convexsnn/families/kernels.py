"""Random dilated kernels, for sequences of real numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch

from convexsnn.checks import check_flag, check_heeded
from convexsnn.families.base import Run, SampledFamily, family
from convexsnn.families.pilot import least_left_out
from convexsnn.network import Hidden
from convexsnn.problem import Problem
from convexsnn.witnesses.kernels import KernelShape, kernels

# What `choose_windows` tries, with this share of the neurons, and on a sample with this share of either.
WINDOWS, WINDOWED, PILOT = (4,), 0.4, 0.4


@family
class Kernels(SampledFamily):
    """Threshold neurons that see the input of several steps at once, with delays, and are read by how often they fire.

    Each neuron is a convolution with random weights, a dilation and a threshold. Thresholds are chosen from what the
    neuron sees in the training sequences. So these neurons suit sequences of real numbers in any unit.

    Attributes
    ----------
    last : int
        The number of neurons, all in one layer.
    lengths : tuple of int
        Each neuron sees each of its features at one of these numbers of steps, at least 1.
    readouts : tuple of str
        What the output reads of each neuron. "rate" is the share of the steps at which it fires, and "count" is the
        number of these steps. "spike" is 1 if it fires at the last step. "analog" is its weighted input at the last
        step, a real number.
    windows : tuple of int
        For each of these numbers, at least 2, sequences are cut into this many equal parts, measured on the longest.
        The output also reads how often each neuron fires in each part.
    choose_windows : bool
        Whether the data choose if windows are used. These neurons are compared on a sample of the training data with
        two fifths as many that are also read in four windows. Windows tell when a neuron fires. Both are read by ridge
        regression, for which the error on left-out sequences is known.
    dtype : {"float64", "float32"}
        The network computes with numbers of this precision.

    References
    ----------
    arXiv 1910.13051 (ROCKET), arXiv 2012.08791 (MiniRocket).
    """

    name: ClassVar[str] = "kernels"
    label_free: ClassVar[bool] = True
    batchwise: ClassVar[bool] = True
    real_numbers: ClassVar[bool] = True

    last: int = KernelShape.neurons
    lengths: tuple[int, ...] = KernelShape.lengths
    readouts: tuple[str, ...] = KernelShape.readouts
    windows: tuple[int, ...] = KernelShape.windows
    choose_windows: bool = False
    dtype: str = KernelShape.dtype

    def __post_init__(self) -> None:
        check_flag("choose_windows", self.choose_windows)
        if self.choose_windows:
            check_heeded(self, ("windows",), "with choose_windows")
        shape = self.shape()
        object.__setattr__(self, "lengths", shape.lengths)
        object.__setattr__(self, "readouts", shape.readouts)
        object.__setattr__(self, "windows", shape.windows)

    def shape(self) -> KernelShape:
        """The settings of the draw."""
        return KernelShape(self.last, self.lengths, self.readouts, self.windows, self.dtype)

    @property
    def n_last(self) -> int:
        """P_last, as far as the settings tell: short sequences have fewer windows."""
        return self.last * self.shape().parts

    def suited(self, problem: Problem, run: Run) -> Kernels:
        """See `WitnessFamily`."""
        if not self.choose_windows:
            return self
        plain = replace(self, choose_windows=False)
        windowed = replace(plain, last=max(1, int(WINDOWED * self.last)), windows=WINDOWS)
        few = [replace(one.shape(), neurons=max(1, int(PILOT * one.last))) for one in (plain, windowed)]
        return (plain, windowed)[least_left_out(few, problem, run.seed)]

    def sample(self, problem: Problem, run: Run, generator: torch.Generator) -> Hidden:
        """See `SampledFamily`."""
        shape = self.suited(problem, run).shape()
        return kernels(problem.source.sample, generator, shape, every_step=problem.every_step).to(run.device)
