"""What a neuron is worth: the score of its column under the dual vector, and which of many to take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from convexsnn.penalties import Norm
from convexsnn.search.branches.population import Population
from convexsnn.search.branches.runner import BranchRunner

# Scores this close to 1 are those of columns that the program holds already, in float32.
SLACK = 1e-3
# Of the columns taken in one round no two are correlated more than this.
LARGEST_CORRELATION = 0.95


@dataclass(frozen=True, eq=False)
class DualPricing:
    """A dual vector, against which columns are scored.

    The score of a column is Omega*(d^T U) / rho: adding it lowers the objective if and only if that is above 1
    (theory.md section 5). Scores are of true spikes; there is no surrogate in them.

    Attributes
    ----------
    runner : BranchRunner
        Over the training rows, in float32.
    U : float32 tensor of shape (rows, C)
        The dual vector over rho.
    norm : Norm
        The penalty.
    """

    runner: BranchRunner
    U: Tensor
    norm: Norm

    def sampled(self, count: int, generator: torch.Generator) -> DualPricing:
        """The pricing on `count` of the rows: half are those of the largest |U|, and the others are drawn at random.

        Each row that is drawn stands for as many as were not, so that the mean of a score is what it is on all rows.
        """
        size, largest = self.U.norm(dim=1), count // 2
        order = size.argsort(descending=True, stable=True)
        rest = order[largest:]
        drawn = rest[torch.randperm(len(rest), generator=generator)[: count - largest]]
        U = torch.cat([self.U[order[:largest]], self.U[drawn] * (len(rest) / len(drawn))])
        return DualPricing(self.runner.only(torch.cat([order[:largest], drawn])), U, self.norm)

    @cached_property
    def counts(self) -> list[Tensor]:
        """What one spike after each prefix counts in d^T U / rho."""
        return self.runner.counted(self.U)

    def correlations(self, population: Population) -> Tensor:
        """d^T U / rho of every column of the last layers, (B, m * parts, C)."""
        return self.runner.correlate(population, self.counts)

    def scores(self, population: Population) -> Tensor:
        """Score of every column of the last layers, (B, m * parts).

        A readout of several parts gives a neuron several columns. Each is priced alone, as it has a weight of its own
        in the penalty: a neuron is worth what its best column is.
        """
        return self.norms(self.correlations(population))

    def norms(self, correlations: Tensor) -> Tensor:
        """Scores from correlations (B, m * parts, C)."""
        B, m, _ = correlations.shape
        return self.norm.row_norms(correlations.flatten(0, 1)).reshape(B, m)

    def of_columns(self, columns: Tensor) -> Tensor:
        """Scores (P,) of columns (P, rows)."""
        return self.norm.row_norms(columns.to(torch.float32) @ self.U)


def take_best(population: Population, pricing: DualPricing, limit: int) -> tuple[Tensor, Tensor, float]:
    """The best improving columns of a population that are not much alike.

    Returns
    -------
    owner, column : int64 tensors of shape (P,)
        Branch, and column of its last layer, from the best to the worst; at most `limit`.
    best : float
        The largest score of all, improving or not.
    """
    scores = pricing.scores(population)
    flat = scores.flatten()
    order = improving(flat)[: 8 * limit]
    owner, column = order // scores.shape[1], order % scores.shape[1]
    index = unlike(pricing.runner.columns(population, owner, column), limit)
    return owner[index], column[index], float(flat.max())


def improving(scores: Tensor) -> Tensor:
    """Indices of the scores above 1, the largest first."""
    order = scores.argsort(descending=True, stable=True)
    return order[scores[order] > 1.0 + SLACK]


def unlike(seen: Tensor, limit: int) -> Tensor:
    """The first `limit` of columns (P, rows) that are not nearly those of an earlier one, or its complement."""
    centred = seen.to(torch.float32)
    centred = centred - centred.mean(dim=1, keepdim=True)
    centred = centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-12)
    taken: list[int] = []
    for i in range(len(seen)):
        if not taken or float((centred[taken] @ centred[i]).abs().max()) <= LARGEST_CORRELATION:
            taken.append(i)
        if len(taken) == limit:
            break
    return torch.tensor(taken, dtype=torch.int64)
