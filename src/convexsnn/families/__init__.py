"""Witness families: where hidden weights come from, one file a family (theory.md section 4)."""

from convexsnn.families.base import Run, SampledFamily, WitnessFamily, family
from convexsnn.families.exact import Exact
from convexsnn.families.gaussian import Gaussian
from convexsnn.families.given import Given
from convexsnn.families.heterogeneous import Heterogeneous
from convexsnn.families.kernel_search import KernelSearch
from convexsnn.families.kernels import Kernels
from convexsnn.families.layered import LayeredFamily
from convexsnn.families.mixture import Mixture
from convexsnn.families.reservoir import Reservoir
from convexsnn.families.search import Search
from convexsnn.families.surrogate import Surrogate
from convexsnn.families.table import FAMILIES, family_from_dict, family_of
from convexsnn.families.trained_kernels import TrainedKernels
from convexsnn.families.within import within

__all__ = [
    "FAMILIES",
    "Exact",
    "Gaussian",
    "Given",
    "Heterogeneous",
    "KernelSearch",
    "Kernels",
    "LayeredFamily",
    "Mixture",
    "Reservoir",
    "Run",
    "SampledFamily",
    "Search",
    "Surrogate",
    "TrainedKernels",
    "WitnessFamily",
    "family",
    "family_from_dict",
    "family_of",
    "within",
]
