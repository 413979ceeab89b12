"""Lower bounds on the nonconvex training problem, over every network of a stated family."""

from convexsnn.bounds.report import universal_certificate
from convexsnn.bounds.rows import equal_inputs
from convexsnn.bounds.universal import Universal, universal_bound, universal_kappa

__all__ = ["Universal", "equal_inputs", "universal_bound", "universal_certificate", "universal_kappa"]
