"""The universal bound: over all 0/1 patterns that are functions of the input (theory.md section 3, 3).

Let U_g be the sum of a dual vector's rows over group g of rows with equal input. Let P_c = sum_g (U_gc)_+ and
N_c = sum_g (U_gc)_-. Then no pattern d has |d^T U|_c above max(P_c, N_c). So Omega*(d^T U) is at most what the penalty
makes of these caps (`Norm.row_norm_within`). For the l1 penalty that is max_c max(P_c, N_c), which is attained. For the
row-group penalty it is the root of the sum of their squares.

For a penalty that is no norm the bound is that of its norm N at the same rho. It holds for that penalty too: since
Omega >= N, no network has an objective F + rho Omega below its F + rho N, and that is not below the bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from convexsnn.bounds.caps import capped_dual, has_caps
from convexsnn.columns import RealColumns
from convexsnn.penalties import norm_below
from convexsnn.program import ConvexProgram
from convexsnn.rounding import Bound, enclose_dual, grouped_kappa

FAMILY = (
    "all networks with any number of 0/1 last-layer neurons of any kind, depth, recurrence and weights, which answer "
    "equal inputs alike"
)
ASSUMPTIONS = ("the objective has the same rho for every network", "float64 arithmetic")
FREE = "no network pays for an intercept"


@dataclass(frozen=True, eq=False)
class Universal:
    """A universal lower bound.

    Attributes
    ----------
    bound : Bound
        No network has an objective below.
    direction : float64 tensor of shape (rows, C)
    times : float
        The dual vector that proves it is `times` the direction.
    kappa : float
        Bound on Omega*(d^T U) / rho over all patterns for the first candidate, 0 without candidates.
    """

    bound: Bound
    direction: Tensor
    times: float
    kappa: float

    @property
    def U(self) -> Tensor:  # noqa: N802 - as in theory.md
        """The dual vector, feasible for every pattern."""
        return self.direction * self.times

    @property
    def value(self) -> float:
        """The lower bound, rounded down."""
        return self.bound.below


def universal_bound(
    program: ConvexProgram, groups: Tensor, candidates: tuple[Tensor, ...] = (), largest: float = 1.0
) -> Universal:
    """The best universal bound that can be had cheaply.

    For the l1 penalty the bound is itself a convex program: min_delta F(delta) + rho * sum_c (max(delta_c+) +
    max(delta_c-)) over scores delta that are constant on groups. Its dual vector is found (`capped_dual`) in closed
    form, or by a search in two numbers for each output, whatever n. For other penalties with several outputs the same
    vectors are used at several levels. For losses without such a search the gradient at zero is used. These bounds are
    valid, but not the best.

    Parameters
    ----------
    program : ConvexProgram
        Its columns are not used.
    groups : int64 tensor of shape (rows,)
        A number for each row, the same for rows of equal input; any numbers will do.
    candidates : tuple of float64 tensors of shape (rows, C)
        Dual vectors to try as well, such as that of a solution.
    largest : float
        Columns have entries from 0 to this number. The bound is then over all patterns of these two: a linear function
        over a box is largest at a corner.
    """
    program, groups = _bare(program, groups, largest)
    best, kappa = None, 0.0
    given = [partial(torch.Tensor.cpu, U) for U in candidates]
    for number, make in enumerate([*given, *_own_candidates(program, groups)]):
        tried = _scaled(program, groups, make())
        if number == 0 and candidates:
            kappa = tried.kappa
        if best is None or tried.bound.below > best.bound.below:
            best = tried
    assert best is not None
    return Universal(best.bound, best.U, best.times, kappa)


def bound_of(program: ConvexProgram, groups: Tensor, U: Tensor, largest: float = 1.0) -> float:
    """The universal bound that the dual vector U (rows, C) alone proves; other arguments as of `universal_bound`."""
    return _scaled(*_bare(program, groups, largest), U.cpu()).bound.below


def _bare(program: ConvexProgram, groups: Tensor, largest: float) -> tuple[ConvexProgram, Tensor]:
    """The program over patterns, without columns, and groups numbered without gaps: a gap would be a group of none."""
    bare, groups = without_columns(_of_patterns(program, largest)), groups.cpu()
    if int(groups.min()) < 0 or int(groups.max()) >= len(groups) or not bool(torch.bincount(groups).all()):
        groups = torch.unique(groups, return_inverse=True)[1]
    return bare, groups


def _of_patterns(program: ConvexProgram, largest: float) -> ConvexProgram:
    """The program whose 0/1 columns are feasible where columns in [0, largest] are in the given one: rho / largest."""
    return program if largest == 1.0 else replace(program, rho=math.nextafter(program.rho / largest, 0.0))


def _own_candidates(program: ConvexProgram, groups: Tensor) -> list[Callable[[], Tensor]]:
    """What makes dual vectors to try beside those that are given. Rows may be many, so there is one at a time."""
    C = program.n_outputs
    if not has_caps(program.loss):
        return [partial(program.data_gradient, torch.zeros_like(program.targets))]
    if norm_below(program.penalty, "the universal bound").exponent(C) == 1.0:
        return [partial(capped_dual, program, groups, program.rho)]
    # Vectors of max(P_c, N_c) <= r have a root of squares of at most sqrt(C) r, and may have one of r.
    return [partial(capped_dual, program, groups, program.rho * C ** (-k / 6)) for k in range(4)]


class _Tried(NamedTuple):
    """A candidate: the bound that `times` a dual vector U proves, and kappa of U."""

    bound: Bound
    U: Tensor
    times: float
    kappa: float


def _scaled(program: ConvexProgram, groups: Tensor, U: Tensor) -> _Tried:
    """The candidate put into the domain of F* and scaled as well as can be."""
    U = program.in_domain(U)
    kappa = grouped_kappa(program, U, groups)
    times, within = _best_factor(program, U, kappa), 1.0
    if program.free_intercept:  # what scaling has rounded, balance takes out, which may add to D^T U
        U, times = program.in_domain(U * times), 1.0
        within = grouped_kappa(program, U, groups)
    return _Tried(enclose_dual(program, U, within, times), U, times, kappa)


def best_scaling(program: ConvexProgram, U: Tensor, kappa: float) -> Tensor:
    """U times the best t in [0, min(1, 1 / kappa)]; all of them are feasible where Omega*(d^T U) <= kappa rho."""
    return U * _best_factor(program, U, kappa)


def _best_factor(program: ConvexProgram, U: Tensor, kappa: float) -> float:
    """That t."""
    largest = 1.0 if kappa <= 1.0 else 1.0 / kappa
    inner = minimize_scalar(lambda t: -program.data_dual(U, t), bounds=(0.0, largest), method="bounded")
    return max(0.0, largest, float(inner.x), key=lambda t: program.data_dual(U, t))  # type: ignore[attr-defined]


def without_columns(program: ConvexProgram) -> ConvexProgram:
    """The program without columns, on the CPU."""
    none = RealColumns(torch.zeros(0, program.n_rows, dtype=torch.float64))
    targets, weights = program.targets.cpu(), program.row_weights.cpu()
    return replace(program, columns=none, targets=targets, row_weights=weights)
