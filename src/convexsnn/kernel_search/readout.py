"""The ridge readout of some kernels, and what it leaves to be explained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.columns import RealColumns
from convexsnn.losses import Squared
from convexsnn.penalties import Ridge
from convexsnn.program import ConvexProgram
from convexsnn.sequences import Sequences
from convexsnn.solvers.path import halved_rhos
from convexsnn.solvers.spectrum import Spectrum

# Of a readout of nothing, for which no penalty can be picked: small beside the squares of a column, at most 1.
FIRST_RHO = 2e-3


@dataclass(frozen=True, eq=False)
class AnsweredRows:
    """What a network should answer.

    Attributes
    ----------
    sequences : Sequences
        n of them, float64 on the CPU.
    targets : float64 tensor of shape (n, C)
    weights : float64 tensor of shape (n,)
        Summing to one.
    intercept : bool
        Whether the output also reads an always-firing neuron.
    """

    sequences: Sequences
    targets: Tensor
    weights: Tensor
    intercept: bool

    @property
    def root(self) -> Tensor:
        """The roots of the weights, shape (n, 1)."""
        return self.weights.sqrt().unsqueeze(1)


@dataclass(frozen=True, eq=False)
class KernelReadout:
    """The ridge readout of some columns, with the penalty for which rows that are left out have the smallest loss.

    Attributes
    ----------
    spectrum : Spectrum
        Of the columns, and of one more for an intercept.
    rho : float
        The penalty.
    residuals : float64 tensor of shape (n, C)
        What is left of each row's target, times the root of its weight, when that row is left out. They are the dual
        vector, -U / 2, with every row divided by one less its leverage.
    P : int
        Columns of kernels.
    """

    spectrum: Spectrum
    rho: float
    residuals: Tensor
    P: int

    @classmethod
    def of(cls, rows: AnsweredRows, columns: Tensor) -> KernelReadout:
        """The readout of columns (n, P) of kernels."""
        ones = columns.new_ones(len(columns), int(rows.intercept))
        values = torch.cat([columns, ones], dim=1).T.contiguous()
        program = ConvexProgram(RealColumns(values), rows.targets, Squared(), Ridge(), FIRST_RHO, rows.weights)
        spectrum = Spectrum.of(program)
        rhos = halved_rhos(program) if len(values) else [FIRST_RHO]
        best = spectrum.least_left_out(rhos)
        return cls(spectrum, rhos[best.place], best.residuals, columns.shape[1])

    @property
    def weights(self) -> Tensor:
        """Weights of the columns, and of the always-firing neuron: shape (P, C) or (P + 1, C)."""
        return self.spectrum.weights(self.rho)

    @property
    def losses(self) -> Tensor:
        """By how much the objective rises where one column is left out and the rest is solved for again: (P,)."""
        A, W = self.spectrum.rows.whole, self.weights
        inverse = torch.linalg.inv(A.T @ A + 0.5 * self.rho * torch.eye(len(W), dtype=A.dtype))
        return (W.square().sum(dim=1) / inverse.diagonal())[: self.P]
