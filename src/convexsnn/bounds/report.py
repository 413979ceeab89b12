"""Bounds as what a certificate carries."""

from __future__ import annotations

from torch import Tensor

from convexsnn.bounds.universal import ASSUMPTIONS, FAMILY, universal_bound
from convexsnn.global_bound import GlobalBound
from convexsnn.network import Readout
from convexsnn.program import ConvexProgram


def universal_certificate(
    program: ConvexProgram, groups: Tensor, readout: Readout, U: Tensor, primal: float
) -> GlobalBound | None:
    """The universal bound for a solution's dual vector `U` (rows, C) and objective `primal`.

    None for the analog readout, whose columns have no bound: scaling hidden weights up and W down lowers the penalty.
    """
    if readout == "analog":
        return None
    bound = universal_bound(program, groups, (U,))
    return GlobalBound(bound.value, "universal", FAMILY, bound.kappa, primal, ASSUMPTIONS)
