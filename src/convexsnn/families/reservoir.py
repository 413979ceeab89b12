"""Random recurrent dynamics tuned to criticality, the paper's R-CVX."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from convexsnn.checks import check_grid, check_integer
from convexsnn.families.base import Run, family
from convexsnn.families.layered import LayeredFamily
from convexsnn.network import Hidden
from convexsnn.problem import Problem
from convexsnn.witnesses import ReservoirGrid, tune_reservoir
from convexsnn.witnesses.reservoir import SAMPLE


@family
class Reservoir(LayeredFamily):
    """LIF neurons with gaussian weights, whose activity is tuned so that it neither dies out nor grows.

    Leak, threshold and input scale are tuned until each spike leads to about one spike a step later (a branching ratio
    of 1).

    Attributes
    ----------
    leak_grid : tuple of float
        The tuning tries these leaks, from 0 to 1.
    threshold_grid : tuple of float
        The tuning tries these thresholds, more than 0.
    scale_grid : tuple of float
        The tuning tries these factors on the input weights, more than 0.
    sample_size : int
        The tuning judges every setting on this many training sequences, the first ones.

    References
    ----------
    arXiv 2605.08022, reservoir witnesses.
    """

    name: ClassVar[str] = "reservoir"
    label_free: ClassVar[bool] = True
    batchwise: ClassVar[bool] = True

    leak_grid: tuple[float, ...] = ReservoirGrid.leaks
    threshold_grid: tuple[float, ...] = ReservoirGrid.thresholds
    scale_grid: tuple[float, ...] = ReservoirGrid.input_scales
    sample_size: int = SAMPLE

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("sample_size", self.sample_size)
        for name in ("leak_grid", "threshold_grid", "scale_grid"):
            values = check_grid(name, getattr(self, name), zero_to_one=name == "leak_grid")
            object.__setattr__(self, name, values)

    def grid(self) -> ReservoirGrid:
        """The settings to try."""
        return ReservoirGrid(self.leak_grid, self.threshold_grid, self.scale_grid)

    def neurons(self) -> dict[str, Any]:
        """See `LayeredFamily`."""
        return {"neuron": "lif"}

    def describes(self, hidden: Hidden, *, intercept: bool) -> bool:  # noqa: ARG002
        """Leak and threshold are tuned, so many networks may be of this family."""
        return True

    def draw(self, problem: Problem, run: Run, generator: torch.Generator) -> Hidden:
        """See `LayeredFamily`."""
        run.observer.begin("tuning the reservoir")
        shape = self.architecture(problem.source.n_features, every_step=problem.every_step)
        return tune_reservoir(shape, problem.source.sample, generator, self.grid(), self.sample_size).hidden.to(
            run.device
        )
