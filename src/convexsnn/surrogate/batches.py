"""The training data as surrogate gradients take them: on the device of the network, some sequences at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.problem import Problem


class Batch(NamedTuple):
    """Some sequences and their rows; `row_weights` are scaled so that their sum estimates that of all rows."""

    values: Tensor
    lengths: Tensor
    targets: Tensor
    row_weights: Tensor


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Sequences, targets and weights on one device, floats in one dtype.

    Attributes
    ----------
    values : float tensor of shape (n, T, d)
    lengths : int64 tensor of shape (n,)
    targets : float tensor of shape (rows, C)
    weights : float tensor of shape (rows,)
        Summing to one.
    every_step : bool
        Whether rows are pairs of sequence and step.
    """

    values: Tensor
    lengths: Tensor
    targets: Tensor
    weights: Tensor
    every_step: bool

    @classmethod
    def of(cls, problem: Problem, device: torch.device, dtype: torch.dtype = torch.float32) -> TrainingData:
        """The data of a problem."""
        sequences = problem.input.to(device, dtype)
        targets, weights = (tensor.to(device=device, dtype=dtype) for tensor in (problem.targets, problem.weights))
        return cls(sequences.values, sequences.lengths, targets, weights, problem.every_step)

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, index: Tensor) -> Batch:
        """The sequences named by `index` (int64), in that order."""
        values, lengths = self.values[index], self.lengths[index]
        rows = index
        if self.every_step:
            steps = torch.arange(self.values.shape[1], device=index.device)
            first = (torch.cumsum(self.lengths, dim=0) - self.lengths)[index]
            rows = (first.unsqueeze(1) + steps)[steps < lengths.unsqueeze(1)]
        longest = int(lengths.max())
        scale = len(self) / len(index)
        return Batch(values[:, :longest], lengths, self.targets[rows], scale * self.weights[rows])
