"""Dual-guided search: find the neurons worth having (theory.md section 5)."""

from convexsnn.search.history import Round
from convexsnn.search.search import search
from convexsnn.search.settings import SearchSettings
from convexsnn.search.state import Searched

__all__ = ["Round", "SearchSettings", "Searched", "search"]
