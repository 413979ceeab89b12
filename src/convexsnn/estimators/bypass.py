"""A linear regression on the last steps of the input, beside which a network learns what it leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convexsnn.checks import check_integer, check_names, check_real
from convexsnn.columns import RealColumns
from convexsnn.losses import Squared
from convexsnn.network import Network, delayed
from convexsnn.penalties import Ridge
from convexsnn.program import ConvexProgram
from convexsnn.sequences import Sequences
from convexsnn.solvers.path import halved_rhos
from convexsnn.solvers.spectrum import Spectrum
from convexsnn.witnesses import with_bypass


@dataclass(frozen=True)
class Bypass:
    """Weights of the features at the last steps.

    Attributes
    ----------
    steps : int
        At least 1.
    weights : tuple of steps * d tuples of C floats
        Of the d features at the last step, then of those of the step before, and so on.
    """

    steps: int
    weights: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        check_integer("bypass", self.steps)
        if not self.weights or len(self.weights) % self.steps or len({len(row) for row in self.weights}) > 1:
            raise ValueError("weights of a bypass must have as many rows for each step, all of one length")
        for row in self.weights:
            for weight in row:
                check_real("weights of a bypass", weight)

    @classmethod
    def of(
        cls, sequences: Sequences, values: np.ndarray, weights: np.ndarray, steps: int, *, per_step: bool, centred: bool
    ) -> Bypass:
        """Ridge regression, whose penalty has the smallest squared error for rows that are left out.

        Parameters
        ----------
        sequences : Sequences
        values : float64 array of shape (rows, C)
        weights : float64 array of shape (rows,)
            The weights of the rows, positive.
        steps : int
        per_step : bool
            Whether rows are the steps of all sequences, instead of the last of each.
        centred : bool
            Whether the regression has an intercept, which is left to others.
        """
        check_integer("bypass", steps)
        seen = torch.stack(list(_seen(sequences, steps, per_step=per_step)))
        unit = torch.where(seen.std(dim=1, correction=0) > 0.0, seen.std(dim=1, correction=0), 1.0).unsqueeze(1)
        columns = torch.cat([seen / unit, seen.new_ones(int(centred), seen.shape[1])])
        shares = torch.from_numpy(weights / weights.sum())
        program = ConvexProgram(
            RealColumns(columns), torch.from_numpy(values), Squared(), Ridge(), 1.0, shares, free_intercept=centred
        )
        spectrum, rhos = Spectrum.of(program), halved_rhos(program)
        W = spectrum.weights(rhos[spectrum.least_left_out(rhos).place])[: len(seen)] / unit
        return cls(steps, tuple(tuple(row) for row in W.tolist()))

    def outputs(self, sequences: Sequences, *, per_step: bool) -> np.ndarray:
        """The linear function for each row: float64 of shape (rows, C), added up in one order on every machine."""
        weights = np.array(self.weights)
        total = np.zeros((sequences.rows(per_step), weights.shape[1]))
        for seen, weight in zip(_seen(sequences, self.steps, per_step=per_step), weights, strict=True):
            total += seen.numpy()[:, None] * weight
        return total

    def fits(self, steps: int, features: int, outputs: int) -> bool:
        """Whether the regression has this many steps, features and outputs."""
        return self.steps == steps and len(self.weights) == steps * features and len(self.weights[0]) == outputs

    def added_to(self, network: Network) -> Network:
        """The network with the linear function added to its outputs."""
        return with_bypass(network, torch.tensor(self.weights, dtype=torch.float64), self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Both fields as JSON has them."""
        return asdict(self) | {"weights": [list(row) for row in self.weights]}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Bypass:
        """Inverse of `to_dict`; ValueError or TypeError on anything else."""
        check_names("a bypass", fields, cls.__dataclass_fields__)
        return cls(fields["steps"], tuple(tuple(row) for row in fields["weights"]))


def _seen(sequences: Sequences, steps: int, *, per_step: bool) -> Iterator[Tensor]:
    """What the rows see of each feature at the last step, then at the step before, and so on: float64 (rows,)."""
    values = sequences.values.to("cpu", torch.float64)
    last = (torch.arange(len(values)), sequences.lengths.cpu() - 1)
    for delay in range(steps):
        late = delayed(values, (delay,), time=1)
        yield from (late[sequences.shown.cpu()] if per_step else late[last]).T
