"""Few kernels, found by what each is worth to the readout."""

from __future__ import annotations

from typing import ClassVar

import torch

from convexsnn.families.base import Run, SampledFamily, family
from convexsnn.kernel_search import KernelSearchSettings, search_kernels
from convexsnn.network import Hidden
from convexsnn.problem import Problem


@family
class KernelSearch(SampledFamily, KernelSearchSettings):
    """Few kernels (`Kernels`), searched for by the dual vector of the program.

    Random kernels, and such as differ a little from those that are found, are priced; the best are kept. This takes
    the squared loss, and one label a sequence. The readout is the rate.

    Its settings are those of `convexsnn.kernel_search.KernelSearchSettings`.
    """

    name: ClassVar[str] = "kernel_search"
    priced_left_out: ClassVar[bool] = True

    @property
    def n_last(self) -> int:
        """P_last."""
        return self.last

    def check(self, *, every_step: bool, device: str = "cpu") -> None:  # noqa: ARG002
        """See `WitnessFamily`."""
        if every_step:
            raise ValueError("witnesses='kernel_search' takes one label a sequence: use 'kernels' for one a step")

    def sample(self, problem: Problem, run: Run, generator: torch.Generator) -> Hidden:
        """See `SampledFamily`; the search runs on the CPU."""

        def tell(number: int) -> None:
            run.observer.begin(f"kernels: round {number} of {self.rounds}")

        return search_kernels(problem, self, generator, tell).to(run.device)
