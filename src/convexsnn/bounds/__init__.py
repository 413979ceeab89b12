"""Lower bounds on the nonconvex training problem, over every network of a stated family (docs/bounds.md)."""

from convexsnn.bounds.arrangement import Arrangement, enumerate_family
from convexsnn.bounds.cost import Cost, enumeration_cost
from convexsnn.bounds.family import Family, Unit
from convexsnn.bounds.milp import Priced, price_by_milp
from convexsnn.bounds.oracle import Pricing, exact_oracle
from convexsnn.bounds.report import (
    arrangement_certificate,
    milp_bound,
    milp_certificate,
    prove_again,
    universal_certificate,
)
from convexsnn.bounds.rows import equal_inputs
from convexsnn.bounds.sign_vectors import NearlySpecialError
from convexsnn.bounds.universal import Universal, universal_bound, universal_kappa

__all__ = [
    "Arrangement",
    "Cost",
    "Family",
    "NearlySpecialError",
    "Priced",
    "Pricing",
    "Unit",
    "Universal",
    "arrangement_certificate",
    "enumerate_family",
    "enumeration_cost",
    "equal_inputs",
    "exact_oracle",
    "milp_bound",
    "milp_certificate",
    "price_by_milp",
    "prove_again",
    "universal_bound",
    "universal_certificate",
    "universal_kappa",
]
