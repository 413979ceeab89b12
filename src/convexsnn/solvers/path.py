"""The regularisation path: one program solved for many rho, each solution the start of the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from convexsnn.checks import check_integer, check_real, check_share
from convexsnn.losses import SmoothLoss
from convexsnn.penalties import norm_below
from convexsnn.program import ConvexProgram
from convexsnn.solvers import solver_for
from convexsnn.solvers.base import Solution, SolverOptions, Status

# With a penalty under which W = 0 is never optimal a path has so many rhos, each half of the one before.
HALVINGS = 24
# To this the program of a free intercept alone is solved.
LEVEL_TOL = 1e-9


def solve_path(
    program: ConvexProgram,
    rhos: Sequence[float],
    options: SolverOptions | None = None,
    start: Tensor | None = None,
) -> Iterator[Solution]:
    """Solve the same program for each rho, largest to smallest; every point has a certificate of its own.

    Parameters
    ----------
    program : ConvexProgram
        Its own rho is not used.
    rhos : sequence of float
        Positive and strictly decreasing. Weights grow as rho falls, so each solution is a good start for the next.
    options : SolverOptions, optional
        Of every point.
    start : float64 tensor of shape (P, C), optional
        Weights from which the first point is solved.

    Returns
    -------
    iterator of Solution
        In the order of `rhos`, each solved when it is asked for. It ends after a point that was INTERRUPTED.

    Raises
    ------
    ValueError
        When `rhos` is empty, not positive or not strictly decreasing; at once, not at the first point.
    """
    rhos = [check_real(f"rhos[{i}]", rho, 0.0, open_minimum=True) for i, rho in enumerate(rhos)]
    if not rhos:
        raise ValueError("rhos must hold at least one number")
    if not all(larger > smaller for larger, smaller in pairwise(rhos)):
        raise ValueError(f"rhos must be strictly decreasing, got {rhos}")
    return _points(program, rhos, options or SolverOptions(), start)


def _points(
    program: ConvexProgram, rhos: Sequence[float], options: SolverOptions, W: Tensor | None
) -> Iterator[Solution]:
    solver = solver_for(program)
    prepared = solver.prepare(program) if len(rhos) > 1 else None  # of all rows, as long as it is held
    for rho in rhos:
        solution = solver.solve(replace(program, rho=rho), options, W, prepared)
        yield solution
        if solution.status is Status.INTERRUPTED:
            return
        W = solution.W


def largest_rho(program: ConvexProgram) -> float:
    """The smallest rho for which W = 0 is optimal: N*(D^T grad F(0)), with N the norm of the penalty.

    Proof. The program is convex, so W = 0 is optimal if and only if 0 lies in the subdifferential of
    F(D W) + rho Omega(W) there. F is differentiable at S = 0 for every loss: the smooth ones are so everywhere, and the
    hinge max(0, 1 - y s) is affine for y s < 1, thus near s = 0. Omega differs from the norm N by what is of second
    order in W, so both have the same subdifferential at zero, B = {G : N*(G) <= 1}. Hence that of the program is
    D^T grad F(0) + rho B. As B = -B, it holds 0 if and only if N*(D^T grad F(0)) <= rho. It is 0 when W = 0 is optimal
    for every rho.

    With a free intercept, all other weights are zero. The gradient is then the dual vector of the program that has the
    column of ones alone.
    """
    norm = norm_below(program.penalty, "a rho for which W = 0 is optimal")
    gradient = program.data_gradient(torch.zeros_like(program.targets))
    if program.free_column is not None:
        ones = torch.tensor([program.free_column], device=program.columns.device)
        alone = replace(program, columns=program.columns.take(ones))
        gradient = solver_for(alone).solve(alone, SolverOptions(LEVEL_TOL)).U
    return float(norm.dual_norm(program.columns.rmatmul(gradient)))


def rho_grid(program: ConvexProgram, number: int = 20, smallest_ratio: float = 1e-3) -> list[float]:
    """`number` values in geometric progression, from `largest_rho` (where W = 0) down to `smallest_ratio` of it.

    Raises
    ------
    ValueError
        When `number` is less than 2, `smallest_ratio` not in (0, 1), or W = 0 is optimal for every rho.
    """
    check_integer("number", number, minimum=2)
    check_share("smallest_ratio", smallest_ratio, open_minimum=True)
    largest = largest_rho(program)
    if largest == 0.0:
        raise ValueError("program has W = 0 as its solution for every rho, so there is no grid")
    return (largest * np.geomspace(1.0, smallest_ratio, number)).tolist()


def halved_rhos(program: ConvexProgram, number: int = HALVINGS) -> list[float]:
    """`number` values, each half of the one before, for a penalty under which W = 0 is optimal for no rho.

    The first is the trace of the Hessian of F(D W) at W = 0, for each output: there the penalty outweighs the data. It
    is 0 without columns.
    """
    loss = program.loss
    assert isinstance(loss, SmoothLoss)
    diagonal = loss.curvature(torch.zeros_like(program.targets), program.targets).diagonal.mean(dim=1)
    trace = float(program.columns.squares(program.row_weights * diagonal).sum())
    return [trace * 0.5**k for k in range(number)]
