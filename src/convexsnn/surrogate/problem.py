"""What surrogate gradients minimise, whole and by batches: the nonconvex training problem itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.losses import Loss
from convexsnn.network import Network
from convexsnn.penalties import Penalty
from convexsnn.sequences import Sequences
from convexsnn.simulation import scores


class Batch(NamedTuple):
    """Some sequences and their rows; `row_weights` are scaled so that their sum estimates that of all rows."""

    values: Tensor
    lengths: Tensor
    targets: Tensor
    row_weights: Tensor


@dataclass(frozen=True, eq=False)
class Problem:
    """sum_i w_i loss(y_i, f(x_i)) + rho * Omega(W), over all weights of f (theory.md section 2).

    Attributes
    ----------
    sequences : Sequences
    targets : float64 tensor of shape (rows, C)
        Encoded labels, one row a sequence, or a step of each sequence.
    loss : Loss
    penalty : Penalty
        Omega.
    rho : float
    row_weights : float64 tensor of shape (rows,)
        w, positive, summing to one.
    """

    sequences: Sequences
    targets: Tensor
    loss: Loss
    penalty: Penalty
    rho: float
    row_weights: Tensor

    def __post_init__(self) -> None:
        rows = len(self.targets)
        if rows not in (len(self.sequences), int(self.sequences.lengths.sum())):
            raise ValueError(f"targets has {rows} rows, but there are {len(self.sequences)} sequences")
        if self.row_weights.shape != (rows,):
            raise ValueError(f"row_weights must have shape ({rows},), got {tuple(self.row_weights.shape)}")

    def objective(self, network: Network) -> float:
        """The value at a network, by running it exactly; float64."""
        S = scores(network, self.sequences).to(self.targets.device)
        data = self.row_weights @ self.loss.value(S, self.targets)
        return float(data + self.rho * self.penalty.value(network.W))

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Problem:
        """The same problem on `device`, all floats in `dtype`."""
        cast = lambda tensor: tensor.to(device=device, dtype=dtype)  # noqa: E731
        sequences = self.sequences.to(device, dtype)
        return Problem(sequences, cast(self.targets), self.loss, self.penalty, self.rho, cast(self.row_weights))

    def batch(self, index: Tensor, *, every_step: bool) -> Batch:
        """The sequences named by `index` (int64), in that order."""
        values, lengths = self.sequences.values[index], self.sequences.lengths[index]
        rows = index
        if every_step:
            steps = torch.arange(self.sequences.n_steps, device=index.device)
            first = (torch.cumsum(self.sequences.lengths, dim=0) - self.sequences.lengths)[index]
            rows = (first.unsqueeze(1) + steps)[steps < lengths.unsqueeze(1)]
        longest = int(lengths.max())
        scale = len(self.sequences) / len(index)
        return Batch(values[:, :longest], lengths, self.targets[rows], scale * self.row_weights[rows])
