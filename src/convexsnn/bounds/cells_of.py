"""All neurons of a family on given sequences, ready to be priced."""

from __future__ import annotations

from convexsnn.bounds.family import NetworkFamily
from convexsnn.bounds.layers.priced_layers import LayeredCells
from convexsnn.bounds.pricing.priced_cells import FamilyCells
from convexsnn.bounds.pricing.protocol import PriceableCells
from convexsnn.sequences import Sequences


def cells_of(family: NetworkFamily, sequences: Sequences) -> PriceableCells:
    """Of one layer, or of two of which the first has few neurons; ValueError for other families."""
    return FamilyCells(family, sequences) if family.below is None else LayeredCells(family, sequences)
