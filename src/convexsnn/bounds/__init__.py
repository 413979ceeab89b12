"""Lower bounds on the nonconvex training problem, over every network of a stated family (docs/bounds.md)."""

from convexsnn.bounds.cells_of import cells_of
from convexsnn.bounds.family import FirstLayer, NetworkFamily, Unit
from convexsnn.bounds.layers.priced_layers import LayeredCells
from convexsnn.bounds.patterns.arrangement import Arrangement, enumerate_family
from convexsnn.bounds.patterns.cost import EnumerationCost, enumeration_cost
from convexsnn.bounds.patterns.witness import rounding_of
from convexsnn.bounds.pricing.oracle import ExactPricing, exact_oracle
from convexsnn.bounds.pricing.priced_cells import FamilyCells
from convexsnn.bounds.report import (
    arrangement_certificate,
    check_provable,
    pricing_bound,
    pricing_certificate,
    prove_again,
    universal_certificate,
)
from convexsnn.bounds.universal import Universal, universal_bound

__all__ = [
    "Arrangement",
    "EnumerationCost",
    "ExactPricing",
    "FamilyCells",
    "FirstLayer",
    "LayeredCells",
    "NetworkFamily",
    "Unit",
    "Universal",
    "arrangement_certificate",
    "cells_of",
    "check_provable",
    "enumerate_family",
    "enumeration_cost",
    "exact_oracle",
    "pricing_bound",
    "pricing_certificate",
    "prove_again",
    "rounding_of",
    "universal_bound",
    "universal_certificate",
]
