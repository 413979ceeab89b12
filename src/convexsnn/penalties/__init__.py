"""Penalties Omega on the readout weights W (P, C), one file a penalty; `protocol` is the vocabulary.

``l1`` is the path norm with p = 1, ``group`` (row-wise l2 over the C outputs) the path norm with p = 2 (theory.md
section 2). ``elastic`` is the latter and a ridge; it is not a norm.
"""

from __future__ import annotations

from convexsnn.checks import Table
from convexsnn.penalties.elastic import Elastic
from convexsnn.penalties.group import RowGroup
from convexsnn.penalties.l1 import L1
from convexsnn.penalties.protocol import Norm, Penalty, PenaltyWithJacobian, ProximalPoint, require_norm

__all__ = [
    "L1",
    "PENALTIES",
    "Elastic",
    "Norm",
    "Penalty",
    "PenaltyWithJacobian",
    "ProximalPoint",
    "RowGroup",
    "require_norm",
]

_ALL: tuple[Penalty, ...] = (L1(), RowGroup(), Elastic())
PENALTIES: Table[Penalty] = Table("penalty", {penalty.name: penalty for penalty in _ALL})
