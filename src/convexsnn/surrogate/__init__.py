"""Surrogate-gradient training of any network that the library describes."""

from convexsnn.surrogate.checkpoint import Epoch
from convexsnn.surrogate.settings import PAPER_BASELINE, SurrogateSettings
from convexsnn.surrogate.shapes import SurrogateShape
from convexsnn.surrogate.start import initial_network
from convexsnn.surrogate.trainer import SurrogateResult, train_surrogate

__all__ = [
    "PAPER_BASELINE",
    "Epoch",
    "SurrogateResult",
    "SurrogateSettings",
    "SurrogateShape",
    "initial_network",
    "train_surrogate",
]
