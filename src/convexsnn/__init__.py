"""Spiking neural networks trained by convex optimisation, with a certificate of optimality.

A name of this list is imported from its module when it is first used, so that ``import convexsnn`` is quick.
"""

TYPE_CHECKING = False  # as type checkers know it; importing typing takes longer than all else here
if TYPE_CHECKING:
    from convexsnn.batches import as_batches
    from convexsnn.certificate import Certificate, certify
    from convexsnn.closed_loop import FeedbackLoop, predict_closed_loop
    from convexsnn.dictionary import Dictionary, build_dictionary
    from convexsnn.estimators import SpikingClassifier, SpikingRegressor, SpikingTransformer
    from convexsnn.families import (
        Exact,
        Gaussian,
        Heterogeneous,
        Kernels,
        KernelSearch,
        Reservoir,
        Search,
        Surrogate,
        TrainedKernels,
    )
    from convexsnn.forecasting import forecast
    from convexsnn.importance import permutation_importance
    from convexsnn.network import Branch, Hidden, Layer, Network
    from convexsnn.neurons import LIF, Threshold
    from convexsnn.polishing import Polished, polish
    from convexsnn.problem import Problem
    from convexsnn.program import ConvexProgram
    from convexsnn.reconstruction import reconstruct
    from convexsnn.sequences import Sequences, as_sequences
    from convexsnn.simulation import simulate
    from convexsnn.solvers import solve
    from convexsnn.storage import load_model, save_model
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
    "KernelSearch",
    "Kernels",
    "Layer",
    "Network",
    "Polished",
    "Problem",
    "Reservoir",
    "Search",
    "Sequences",
    "SpikingClassifier",
    "SpikingRegressor",
    "SpikingTransformer",
    "Surrogate",
    "Threshold",
    "Trained",
    "TrainedKernels",
    "as_batches",
    "as_sequences",
    "build_dictionary",
    "certify",
    "forecast",
    "gaussian",
    "load_model",
    "permutation_importance",
    "polish",
    "predict_closed_loop",
    "reconstruct",
    "save_model",
    "simulate",
    "solve",
    "train",
]

_EXPORTS = {
    "batches": ("as_batches",),
    "certificate": ("Certificate", "certify"),
    "closed_loop": ("FeedbackLoop", "predict_closed_loop"),
    "forecasting": ("forecast",),
    "dictionary": ("Dictionary", "build_dictionary"),
    "estimators": ("SpikingClassifier", "SpikingRegressor", "SpikingTransformer"),
    "families": (
        "Exact",
        "Gaussian",
        "Heterogeneous",
        "KernelSearch",
        "Kernels",
        "Reservoir",
        "Search",
        "Surrogate",
        "TrainedKernels",
    ),
    "importance": ("permutation_importance",),
    "network": ("Branch", "Hidden", "Layer", "Network"),
    "neurons": ("LIF", "Threshold"),
    "polishing": ("Polished", "polish"),
    "problem": ("Problem",),
    "program": ("ConvexProgram",),
    "reconstruction": ("reconstruct",),
    "sequences": ("Sequences", "as_sequences"),
    "simulation": ("simulate",),
    "solvers": ("solve",),
    "storage": ("load_model", "save_model"),
    "training": ("Trained", "train"),
    "witnesses": ("Architecture", "gaussian"),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}


def __getattr__(name: str) -> object:
    """A public name or a module, which is imported when it is first used."""
    from importlib import import_module
    from importlib.util import find_spec

    if name in _MODULE_OF:
        value = getattr(import_module(f"convexsnn.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
    if not name.startswith("_") and find_spec(f"convexsnn.{name}") is not None:
        return import_module(f"convexsnn.{name}")
    raise AttributeError(f"module 'convexsnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
