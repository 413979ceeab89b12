"""Hidden layers of the user's own."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from convexsnn.families.base import Run, SampledFamily, family
from convexsnn.network import Hidden
from convexsnn.problem import Problem
from convexsnn.witnesses import with_constant


@family
class Given(SampledFamily):
    """Hidden layers that are there, such as pretrained ones, taken as they are.

    Attributes
    ----------
    layers : Hidden
        They bring their own shape, neurons, readout and dtype.
    """

    name: ClassVar[str] = "given"
    batchwise: ClassVar[bool] = True

    layers: Hidden

    @property
    def n_last(self) -> int:
        """P_last."""
        return self.layers.n_last

    @property
    def given(self) -> tuple[Hidden, ...]:
        """The layers."""
        return (self.layers,)

    @property
    def readout(self) -> str:
        """What the output reads of the last layer."""
        return self.layers.readout.name

    @property
    def dtype(self) -> str:
        """Arithmetic in which the dynamics of the layers are defined."""
        return str(self.layers.dtype).removeprefix("torch.")

    def describes(self, hidden: Hidden, *, intercept: bool) -> bool:
        """Whether the witnesses are these layers."""
        return (with_constant(self.layers) if intercept else self.layers).equals(hidden)

    def __repr__(self) -> str:
        size = f"{self.layers.n_neurons} neurons in {len(self.layers.branches)} branches"
        return f"{type(self).__name__}(layers=<{size}>)"

    def check(self, *, every_step: bool, device: str = "cpu") -> None:  # noqa: ARG002
        """See `WitnessFamily`."""
        if self.layers.every_step != every_step:
            raise ValueError("per_step must be that of the given witnesses (their every_step)")

    def sample(self, problem: Problem, run: Run, generator: torch.Generator) -> Hidden:  # noqa: ARG002
        """See `SampledFamily`."""
        expected, shown = self.layers.n_features, problem.source.n_features
        if expected != shown:
            raise ValueError(f"witnesses expect {expected} features, but X has {shown} features")
        return self.layers.to(run.device)

    def to_dict(self) -> dict[str, Any]:
        """The name alone: layers are no JSON (`given` has them)."""
        return {"family": self.name}
