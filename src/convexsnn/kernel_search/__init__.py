"""Search for few kernels: many are drawn and varied, priced by the dual vector, and the best are kept."""

from convexsnn.kernel_search.examples import concatenated, joined_weights, made_up_for, noisy, sampled
from convexsnn.kernel_search.exchange import exchanged
from convexsnn.kernel_search.search import KernelSearchSettings, search_kernels

__all__ = [
    "KernelSearchSettings",
    "concatenated",
    "exchanged",
    "joined_weights",
    "made_up_for",
    "noisy",
    "sampled",
    "search_kernels",
]
