"""Spiking neural networks trained by convex optimisation, with a certificate of optimality."""

from convexsnn.certificate import Certificate, certify
from convexsnn.closed_loop import FeedbackLoop, predict_closed_loop
from convexsnn.dictionary import Dictionary, build_dictionary
from convexsnn.estimators import SpikingClassifier, SpikingRegressor
from convexsnn.families import Exact, Gaussian, Heterogeneous, Reservoir, Search, Surrogate
from convexsnn.network import Branch, Hidden, Layer, Network
from convexsnn.neurons import LIF, Threshold
from convexsnn.polishing import Polished, polish
from convexsnn.problem import Problem
from convexsnn.program import ConvexProgram
from convexsnn.reconstruction import reconstruct
from convexsnn.sequences import Sequences, as_sequences
from convexsnn.simulation import simulate
from convexsnn.solvers import solve
from convexsnn.training import Trained, train
from convexsnn.witnesses import Architecture, gaussian

__all__ = [
    "LIF",
    "Architecture",
    "Branch",
    "Certificate",
    "ConvexProgram",
    "Dictionary",
    "Exact",
    "FeedbackLoop",
    "Gaussian",
    "Heterogeneous",
    "Hidden",
    "Layer",
    "Network",
    "Polished",
    "Problem",
    "Reservoir",
    "Search",
    "Sequences",
    "SpikingClassifier",
    "SpikingRegressor",
    "Surrogate",
    "Threshold",
    "Trained",
    "as_sequences",
    "build_dictionary",
    "certify",
    "gaussian",
    "polish",
    "predict_closed_loop",
    "reconstruct",
    "simulate",
    "solve",
    "train",
]
