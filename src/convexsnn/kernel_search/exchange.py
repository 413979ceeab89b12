"""Which few of many columns a ridge readout should have: the best are taken one by one, and then exchanged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from convexsnn.kernel_search.readout import FIRST_RHO
from convexsnn.program import ConvexProgram
from convexsnn.solvers.path import halved_rhos
from convexsnn.solvers.spectrum import Spectrum

# So often each of the chosen columns may be exchanged.
SWEEPS = 2
# Products of columns are sums of float32: the penalty is at least this share of a mean square.
LEAST_PENALTY = 1e-5


def exchanged(program: ConvexProgram, first: list[int], most: int) -> list[int]:
    """At most so many columns of a program of the squared loss and the ridge penalty, of which `first` are given.

    Columns are added one by one, each time that one by which the objective falls most. Then rows that are left out
    pick the penalty for these columns. Each of them is then left out in turn, and the best one of all takes its place.

    References
    ----------
    Chen, Billings, Luo, Orthogonal least squares methods and their application to non-linear system identification,
    International Journal of Control 50 (1989). Miller, Subset selection in regression (2002), section 3.4.
    """
    choice, chosen = Choice.of(program), list(first)
    while len(chosen) < min(most, len(choice.squares)):
        chosen.append(int(choice.worths(chosen).argmax()))
    choice = replace(choice, penalty=_penalty(program, chosen))
    for _ in range(SWEEPS):
        chosen = _swept(choice, chosen, set(first))
    return chosen


def _penalty(program: ConvexProgram, chosen: list[int]) -> float:
    """Half of the rho by which some columns answer best to rows that are left out."""
    few = replace(program, columns=program.columns.take(torch.tensor(chosen)))
    rhos = halved_rhos(few)
    return 0.5 * rhos[Spectrum.of(few).least_left_out(rhos).place]


def _swept(choice: Choice, chosen: list[int], fixed: set[int]) -> list[int]:
    """Every column but the fixed ones is left out once, the least missed first, for the one that is then best."""
    for one in choice.by_loss(chosen):
        if one not in fixed:
            others = [other for other in chosen if other != one]
            chosen = [*others, int(choice.worths(others).argmax())]
    return chosen


@dataclass(frozen=True, eq=False)
class Choice:
    """Columns and targets, times the roots of the rows' weights, and the products that are known so far.

    Attributes
    ----------
    columns : float32 tensor of shape (P, n)
    moments : float64 tensor of shape (P, C)
        The products of columns and targets.
    penalty : float
        Half of rho.
    products : dict of int to float64 tensor of shape (P,)
        Those of a column with all.
    """

    columns: Tensor
    moments: Tensor
    penalty: float
    products: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, program: ConvexProgram) -> Choice:
        """Of a program, on the CPU."""
        root = program.row_weights.sqrt().cpu()
        columns = (program.columns.dense(torch.float32).cpu().T * root.to(torch.float32)).contiguous()
        targets = (program.targets.cpu() * root.unsqueeze(1)).to(torch.float32)
        return cls(columns, (columns @ targets).to(torch.float64), 0.5 * FIRST_RHO)

    @cached_property
    def squares(self) -> Tensor:
        """Of the columns: (P,)."""
        return self.columns.square().sum(dim=1).to(torch.float64)

    def worths(self, chosen: list[int]) -> Tensor:
        """By how much the objective falls where a column joins those chosen: (P,), -1 for these."""
        penalty, rest, left = self._penalty, self.moments, self.squares
        if chosen:
            products = self._products(chosen)
            triangle = torch.linalg.cholesky(self._gram(products, chosen))
            across = torch.linalg.solve_triangular(triangle, products, upper=False)
            explained = torch.linalg.solve_triangular(triangle, self.moments[chosen], upper=False)
            rest, left = rest - across.T @ explained, left - across.square().sum(dim=0)
        worths = rest.square().sum(dim=1) / (left.clamp(min=0.0) + penalty)
        return worths.index_fill_(0, torch.tensor(chosen, dtype=torch.int64), -1.0)

    def by_loss(self, chosen: list[int]) -> list[int]:
        """The chosen columns, those first whose removal costs least."""
        inverse = torch.linalg.inv(self._gram(self._products(chosen), chosen))
        losses = (inverse @ self.moments[chosen]).square().sum(dim=1) / inverse.diagonal()
        return [chosen[place] for place in losses.argsort(stable=True).tolist()]

    @property
    def _penalty(self) -> float:
        return max(self.penalty, LEAST_PENALTY * float(self.squares.mean()))

    def _products(self, chosen: list[int]) -> Tensor:
        for one in chosen:
            if one not in self.products:
                self.products[one] = (self.columns @ self.columns[one]).to(torch.float64)
        return torch.stack([self.products[one] for one in chosen])

    def _gram(self, products: Tensor, chosen: list[int]) -> Tensor:
        return products[:, chosen] + self._penalty * torch.eye(len(chosen), dtype=products.dtype)
