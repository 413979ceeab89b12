"""Exact training: a network that no network of its family improves on by more than tol, and the proof of it."""

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
