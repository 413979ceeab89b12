"""Exact training: no network of the family is better by more than tol, and this is proved."""

from convexsnn.exact.bounding import bound_network
from convexsnn.exact.columns import ExactColumns
from convexsnn.exact.rounds import ExactRound
from convexsnn.exact.settings import ExactSettings
from convexsnn.exact.training import check_cost, enumerate_patterns_of, solve_exactly

__all__ = [
    "ExactColumns",
    "ExactRound",
    "ExactSettings",
    "bound_network",
    "check_cost",
    "enumerate_patterns_of",
    "solve_exactly",
]
