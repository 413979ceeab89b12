"""Polishing: the readout of a trained spiking torch module made optimal, sparse and certified."""

from convexsnn.polishing.batches import Rows
from convexsnn.polishing.cost import module_cost
from convexsnn.polishing.polish import polish
from convexsnn.polishing.pooling import Pooling
from convexsnn.polishing.result import Measured, Polished, PolishPoint

__all__ = ["Measured", "PolishPoint", "Polished", "Pooling", "Rows", "module_cost", "polish"]
