"""Penalties Omega on the readout weights W (P, C), one file a penalty; `protocol` is the vocabulary.

``l1`` is the path norm with p = 1, ``group`` (row-wise l2 over the C outputs) the path norm with p = 2 (theory.md
section 2).
"""

from __future__ import annotations

from convexsnn.checks import Table
from convexsnn.penalties.group import RowGroup
from convexsnn.penalties.l1 import L1
from convexsnn.penalties.protocol import Penalty, PenaltyWithJacobian, ProximalPoint

__all__ = ["L1", "PENALTIES", "Penalty", "PenaltyWithJacobian", "ProximalPoint", "RowGroup"]

PENALTIES: Table[Penalty] = Table("penalty", {penalty.name: penalty for penalty in (L1(), RowGroup())})
