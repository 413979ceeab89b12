"""How strongly output weights are penalised: one beta, several to pick from, or rho itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from convexsnn.checks import check_integer, check_real

# The beta for which hidden weights are trained that go before a path of betas.
BETA_BEFORE_PATH = 0.01
# Below it the numbers in the solvers leave the range of float64.
SMALLEST_RHO = 1e-100


@dataclass(frozen=True)
class Regularisation:
    """The weights of the penalty to solve for.

    Attributes
    ----------
    betas : tuple of float, or None
        The betas from the largest to the smallest. None for those of "path", which are chosen once the columns are
        known.
    rho : float, optional
        The weight in the convex program, in place of the one beta; None is beta / sqrt(P_last).
    columns : int, optional
        Weights lie on at most so many columns; None sets no limit. A path of betas ends before more would carry
        weight. Where still more do, those of the smallest weights are left out (`elimination`).
    """

    betas: tuple[float, ...] | None = (0.1,)
    rho: float | None = None
    columns: int | None = None

    @classmethod
    def read(cls, beta: Any, rho: Any = None, columns: Any = None) -> Regularisation:
        """Betas as users give them: one number, several numbers in any order, or "path".

        Raises
        ------
        ValueError
            When it is none of these, when a number is not positive, when there are none or equal ones, or when rho
            stands beside several betas.
        """
        betas = _read_betas(beta)
        if columns is not None:
            check_integer("columns", columns)
        if rho is None:
            return cls(betas, columns=columns)
        if betas is None or len(betas) > 1:
            raise ValueError("rho takes the place of beta: leave it None when there are several betas")
        return cls(betas, check_rho(rho), columns)

    @property
    def several(self) -> bool:
        """Whether there is anything to pick from."""
        return self.betas is None or len(self.betas) > 1

    def allows(self, columns: int) -> bool:
        """Whether weights on so many columns may be picked."""
        return self.columns is None or columns <= self.columns

    def rho_of(self, beta: float, n_last: int) -> float:
        """The weight in the convex program for `beta` and a network of P_last = `n_last` last-layer neurons."""
        return self.rho if self.rho is not None else rho_of(beta, n_last)

    def before_readout(self, n_last: int) -> float:
        """The rho for which hidden weights are trained: a penalty too large leaves few neurons of use."""
        return self.rho_of(BETA_BEFORE_PATH if self.betas is None else self.betas[-1], n_last)


def check_rho(rho: float) -> float:
    """`rho` as a float; ValueError where it is not a positive number within the range of the solvers."""
    number = check_real("rho", rho, 0.0, open_minimum=True)
    if number < SMALLEST_RHO:
        raise ValueError(f"beta (or rho) is too small: rho = {number:g} must be at least {SMALLEST_RHO:g}")
    return number


def rho_of(beta: float, n_last: int) -> float:
    """Rho = beta / sqrt(P_last), the paper's weight of the penalty for P_last = `n_last` last-layer neurons."""
    return check_rho(float(beta) / math.sqrt(max(1, n_last)))


def _read_betas(beta: Any) -> tuple[float, ...] | None:
    if isinstance(beta, str):
        if beta != "path":
            raise ValueError(f"beta must be a number, several numbers or 'path', not {beta!r}")
        return None
    if isinstance(beta, Set | Mapping):
        raise ValueError(
            f"beta must be a number, a list of numbers or 'path', not a {type(beta).__name__}: pass list(beta)"
        )
    if not isinstance(beta, Iterable) or getattr(beta, "ndim", 1) == 0:
        return (check_real("beta", beta, 0.0, open_minimum=True),)
    betas = [check_real(f"beta[{i}]", value, 0.0, open_minimum=True) for i, value in enumerate(beta)]
    if not betas:
        raise ValueError("beta must hold at least one number")
    if len(set(betas)) < len(betas):
        raise ValueError(f"beta must hold every number once, got {betas}")
    return tuple(sorted(betas, reverse=True))
