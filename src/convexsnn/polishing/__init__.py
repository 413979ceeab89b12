"""Polishing: the readout of a trained spiking torch module made optimal, sparse and certified."""

from convexsnn.polishing.cost import module_cost
from convexsnn.polishing.polish import Measured, Polished, polish
from convexsnn.polishing.pooling import Pooling

__all__ = ["Measured", "Polished", "Pooling", "module_cost", "polish"]
