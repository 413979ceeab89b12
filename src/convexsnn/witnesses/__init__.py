"""Where columns come from: one file a family of witnesses (theory.md section 4)."""

from convexsnn.witnesses.architecture import Architecture
from convexsnn.witnesses.batch_norm import fold_batch_norms
from convexsnn.witnesses.bypass import with_bypass
from convexsnn.witnesses.constant import constant_place, with_constant, with_offset
from convexsnn.witnesses.gaussian import gaussian
from convexsnn.witnesses.heterogeneous import Heterogeneity, diversify, heterogeneous
from convexsnn.witnesses.input_view import InputView
from convexsnn.witnesses.mixture import mix
from convexsnn.witnesses.pretrained import pretrained
from convexsnn.witnesses.reservoir import ReservoirGrid, TunedReservoir, tune_reservoir

__all__ = [
    "Architecture",
    "Heterogeneity",
    "InputView",
    "ReservoirGrid",
    "TunedReservoir",
    "constant_place",
    "diversify",
    "fold_batch_norms",
    "gaussian",
    "heterogeneous",
    "mix",
    "pretrained",
    "tune_reservoir",
    "with_bypass",
    "with_constant",
    "with_offset",
]
