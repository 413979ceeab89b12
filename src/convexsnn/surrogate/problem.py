"""What surrogate gradients minimise, whole and by batches: the nonconvex training problem itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
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

    def merged(self, *, every_step: bool) -> Problem:
        """The same problem with equal sequences of equal targets as one of their total weight.

        Objective and gradients are the same up to rounding: 2000 random sequences of 8 bits are 256.
        """
        sequences, n = self.sequences, len(self.sequences)
        counts = sequences.lengths if every_step else torch.ones_like(sequences.lengths)
        has_row = torch.arange(int(counts.max()), device=counts.device) < counts.unsqueeze(1)
        targets = self.targets.new_zeros(*has_row.shape, self.targets.shape[1])
        weights = self.row_weights.new_zeros(has_row.shape)
        targets[has_row], weights[has_row] = self.targets, self.row_weights
        parts = sequences.lengths.unsqueeze(1), sequences.values.flatten(1), targets.flatten(1)
        key = torch.cat([part.to(torch.float64) for part in parts], dim=1).cpu().numpy()
        _, first, group = np.unique(key, axis=0, return_index=True, return_inverse=True)
        if len(first) == n:
            return self
        kept = torch.from_numpy(first).to(counts.device)
        into = torch.from_numpy(group.ravel()).to(counts.device)
        total = weights.new_zeros(len(first), weights.shape[1]).index_add_(0, into, weights)
        rows = has_row[kept]
        return replace(self, sequences=sequences.take(kept), targets=targets[kept][rows], row_weights=total[rows])

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
