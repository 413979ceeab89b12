"""Search for few kernels: many are drawn and varied, priced by the dual vector, and the best are kept."""

from convexsnn.kernel_search.examples import joined_weights, made_up_for
from convexsnn.kernel_search.search import KernelSearchSettings, search_kernels

__all__ = ["KernelSearchSettings", "joined_weights", "made_up_for", "search_kernels"]
