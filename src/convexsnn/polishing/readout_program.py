"""The convex program of a recorded readout: solved through its head, measured and certified in its own weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from convexsnn.certificate import Certificate, certify
from convexsnn.columns import Columns, RealColumns
from convexsnn.dictionary import Dictionary
from convexsnn.labels import decide
from convexsnn.losses import Loss, SmoothLoss
from convexsnn.penalties import Penalty, norm_below
from convexsnn.polishing.head import OutputMap
from convexsnn.polishing.probe import centred, shown, tolerance
from convexsnn.polishing.result import Measured
from convexsnn.problem import Problem
from convexsnn.program import ConvexProgram
from convexsnn.regularisation import Regularisation
from convexsnn.solvers import Solution, SolverOptions, solver_for
from convexsnn.solvers.path import solve_path
from convexsnn.solvers.working_set import solve_by_working_set
from convexsnn.training import path_of_rhos

# Dictionaries above this many bytes as float64 are solved by rounds on few columns.
UNPACKED_BYTES = 2**28


class Candidate(NamedTuple):
    """Readout weights (F or F + 1, C), as the module's dtype holds them, for one beta."""

    beta: float
    rho: float
    weights: Tensor
    solution: Solution


@dataclass(frozen=True, eq=False)
class ReadoutProgram:
    """min_W F(D W M^T) + rho * Omega(W) over the recorded columns D.

    Attributes
    ----------
    dictionary : Dictionary
        A constant neuron last, where there is a `bias`.
    targets : float64 tensor of shape (rows, C_out)
    labels : Tensor
    row_weights : float64 tensor of shape (rows,), or None
    loss : Loss
    penalty : Penalty
    head : OutputMap
    bias : bool
    """

    dictionary: Dictionary
    targets: Tensor
    labels: Tensor
    row_weights: Tensor | None
    loss: Loss
    penalty: Penalty
    head: OutputMap
    bias: bool

    def solved(self, rho: float) -> ConvexProgram:
        """The program in V = W M^T, which is the one that is solved."""
        strength = self.head.strength(self.penalty)
        problem = Problem(None, self.targets, self.loss, self.penalty, rho / strength, self.row_weights)
        return problem.program(self.dictionary.columns)

    def check_columns(self) -> None:
        """ValueError where nothing that the readout reads tells rows apart."""
        own = self.dictionary.column_of[:-1] if self.bias else self.dictionary.column_of
        if not bool((own >= 0).any()):
            raise ValueError(
                "the readout reads nothing but zeros: the last spiking layer is silent on the whole loader. Show the "
                "module all steps (run=), or larger inputs"
            )
        columns, n = self.dictionary.columns, len(self.targets)
        uniform = torch.full((n,), 1.0 / n, dtype=torch.float64)
        mean, square = columns.rmatmul(uniform[:, None])[:, 0], columns.squares(uniform)
        if bool((square - mean**2 <= 1e-12 * square).all()):
            raise ValueError(
                "the readout reads the same of every row of the loader: no weights can tell them apart. Check run= and "
                "the size of the inputs"
            )

    def betas(self, regularisation: Regularisation) -> list[tuple[float, float]]:
        """Each beta and its rho, from the largest to the smallest."""
        inputs = len(self.dictionary.column_of)
        if regularisation.betas is not None:
            return [(beta, regularisation.rho_of(beta, inputs)) for beta in regularisation.betas]
        strength = self.head.strength(self.penalty)
        rhos = [strength * rho for rho in path_of_rhos(self.solved(strength), inputs)]
        return [(rho * math.sqrt(inputs), rho) for rho in rhos]

    def candidates(
        self, betas: list[tuple[float, float]], options: SolverOptions, start: Tensor, dtype: torch.dtype
    ) -> Iterator[Candidate]:
        """The best weights for each beta, solved one after the other from the weights `start` (F or F + 1, C)."""
        V = self.head.through(self.dictionary.to_columns(start))
        programs = [self.solved(rho) for _, rho in betas]
        for (beta, rho), solution in zip(betas, _solve(programs, options, V), strict=False):
            weights = self.head.lift(self.dictionary.to_neurons(solution.W), self.penalty)
            yield Candidate(beta, rho, weights.to(dtype).to(torch.float64), solution)

    def scores(self, weights: Tensor) -> Tensor:
        """What the module should answer with these weights, (rows, C_out)."""
        return self.head.through(self.dictionary.columns.matmul(self.dictionary.to_columns(weights)))

    def objective(self, S: Tensor, weights: Tensor, rho: float) -> float:
        """F(S) + rho * Omega(weights) for outputs S (rows, C_out)."""
        program = self.solved(rho)
        return float(program.data_term(S) + rho * self.penalty.value(weights))

    def measure(self, weights: Tensor, own: Tensor, rho: float) -> Measured:
        """A readout with these weights, with which the module answers `own`."""
        read = self.synapses(weights)
        accuracy = None if self.labels.is_floating_point() else float((decide(own) == self.labels).double().mean())
        objective = self.objective(self.scores(weights), weights, rho)
        return Measured(objective, accuracy, int(read.sum()), int(read.any(dim=1).sum()))

    def synapses(self, weights: Tensor) -> Tensor:
        """Which weights are not zero, bias left out; (F, C)."""
        return (weights[:-1] if self.bias else weights) != 0

    def certify(self, weights: Tensor, U: Tensor, rho: float) -> Certificate:
        """The certificate of the readout's own weights, with the dual vector U (rows, C_out) of the solved program."""
        loss = self.head.loss(self.loss)
        problem = Problem(None, self.targets, loss, self.penalty, rho, self.row_weights)
        dual = U if self.head.is_identity else U @ self.head.matrix
        return certify(problem.program(self.dictionary.columns), self.dictionary.to_columns(weights), dual)

    def disagreement(self, own: Tensor, weights: Tensor, *, eps: float, terms: int, shifted: bool) -> str | None:
        """Both numbers, where the module's outputs differ from the program's by more than rounding; else None."""
        S = self.scores(weights)
        size = _absolute(self.dictionary.columns).matmul(self.dictionary.to_columns(weights.abs()))
        size = size @ self.head.matrix.abs().T
        allowed = (tolerance(eps, terms) + (0.0 if self.head.is_identity else 1e-5)) * size.amax(dim=1, keepdim=True)
        a, b = (centred(own), centred(S)) if shifted else (own, S)
        wrong = ~((a - b).abs() <= allowed).all(dim=1)
        if not bool(wrong.any()):
            return None
        row = int(torch.nonzero(wrong)[0])
        return f"of row {row} the pooled readout is {shown(S[row])}, the module's own output {shown(own[row])}"

    def beta_of_first_weight(self, candidate: Candidate) -> float:
        """About the beta below which other weights than those of the bias become nonzero."""
        norm = norm_below(self.penalty, "a beta at which weights appear")
        norms = norm.row_norms(self.dictionary.columns.rmatmul(candidate.solution.U))
        if self.bias:
            norms[self.dictionary.column_of[-1]] = 0.0
        return candidate.beta * float(norms.max()) * self.head.strength(self.penalty) / candidate.rho


def _absolute(columns: Columns) -> Columns:
    """Columns of the absolute values; those of bits and of counts are nonnegative."""
    if isinstance(columns, RealColumns) and bool((columns.values < 0).any()):
        return RealColumns(columns.values.abs())
    return columns


def _solve(programs: list[ConvexProgram], options: SolverOptions, W: Tensor) -> Iterator[Solution]:
    """One solution a program, which differ in rho: the whole dictionary as floats where that is small, else rounds."""
    first = programs[0]
    if not isinstance(first.loss, SmoothLoss) or 8 * first.n_rows * first.n_columns <= UNPACKED_BYTES:
        yield from solve_path(first, [program.rho for program in programs], options, W)
        return
    solver = solver_for(first)
    most = max(1, UNPACKED_BYTES // (4 * 8 * first.n_rows))
    start = None  # a trained readout has all its weights, and would make every column part of the first working set
    for program in programs:
        solution = solve_by_working_set(solver.solve, program, options, start, solver.name, most)
        yield solution
        start = solution.W
