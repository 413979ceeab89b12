"""Proofs without trust: dual <= optimum <= primal from stored files, in exact rational or outwards rounded arithmetic.

This room stands alone: it imports nothing of the rest of the library, and no torch, only numpy, safetensors and the
standard library. The folder may be copied elsewhere and run there: ``python -m proof MODEL DATA.npz``.
"""

from .inequality import ExactProgram, Proof, prove
from .losses import Head
from .verification import ExactVerification, verify_exactly

__all__ = ["ExactProgram", "ExactVerification", "Head", "Proof", "prove", "verify_exactly"]
