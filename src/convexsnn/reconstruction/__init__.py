"""From weights and patterns back to networks (theory.md section 6), one file a way."""

from convexsnn.reconstruction.margins import Widened, widen_margins
from convexsnn.reconstruction.patterns import Realised, realise
from convexsnn.reconstruction.pruning import cut_down, keep_neurons, reconstruct
from convexsnn.reconstruction.quantisation import Quantised, quantise
from convexsnn.reconstruction.separation import Separation, separate
from convexsnn.reconstruction.thinning import Thinned, thin

__all__ = [
    "Quantised",
    "Realised",
    "Separation",
    "Thinned",
    "Widened",
    "cut_down",
    "keep_neurons",
    "quantise",
    "realise",
    "reconstruct",
    "separate",
    "thin",
    "widen_margins",
]
