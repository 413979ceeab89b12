"""Proofs without trust: dual <= optimum <= primal from stored files, in exact rational or outwards rounded arithmetic.

This module stands alone: it imports nothing of the rest of the library, and no torch, only numpy, safetensors and the
standard library. The folder may be copied elsewhere and run there: ``python -m proof MODEL DATA.npz``.
"""

from .folder import SEALED, SUMS, content_problems, sum_problems, sums_of
from .inequality import ExactProgram, Proof, prove
from .losses import LossHead
from .model import FORMAT
from .verification import ExactVerification, verify_exactly

__all__ = [
    "FORMAT",
    "SEALED",
    "SUMS",
    "ExactProgram",
    "ExactVerification",
    "LossHead",
    "Proof",
    "content_problems",
    "prove",
    "sum_problems",
    "sums_of",
    "verify_exactly",
]
