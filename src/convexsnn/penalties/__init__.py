"""Penalties Omega on the readout weights W (P, C), one file a penalty; `protocol` is the vocabulary.

``l1`` is the path norm with p = 1, ``group`` (row-wise l2 over the C outputs) the path norm with p = 2 (theory.md
section 2). ``elastic`` is the latter and a ridge, and ``ridge`` is half the sum of squares; neither is a norm.
"""

from __future__ import annotations

from convexsnn.checks import Table
from convexsnn.penalties.elastic import Elastic
from convexsnn.penalties.group import RowGroup
from convexsnn.penalties.l1 import L1
from convexsnn.penalties.protocol import (
    Norm,
    Penalty,
    PenaltyAboveNorm,
    PenaltyWithJacobian,
    ProximalPoint,
    norm_below,
    require_norm,
)
from convexsnn.penalties.ridge import Ridge

__all__ = [
    "L1",
    "PENALTIES",
    "Elastic",
    "Norm",
    "Penalty",
    "PenaltyAboveNorm",
    "PenaltyWithJacobian",
    "ProximalPoint",
    "Ridge",
    "RowGroup",
    "norm_below",
    "require_norm",
]

_ALL: tuple[Penalty, ...] = (L1(), RowGroup(), Elastic(), Ridge())
PENALTIES: Table[Penalty] = Table("penalty", {penalty.name: penalty for penalty in _ALL})
