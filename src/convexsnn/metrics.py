"""How good a trained network is, and what it costs to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convexsnn.estimators import Estimator, SpikingClassifier
from convexsnn.network import Network
from convexsnn.sequences import Sequences
from convexsnn.simulation import simulate_chunks


@dataclass(frozen=True)
class Cost:
    """Cost of inference of a network on given sequences.

    Attributes
    ----------
    neurons : int
        Hidden neurons.
    synapses : int
        Nonzero connections, readout included.
    spikes_per_inference : float
        Spikes of all hidden neurons, summed over the steps of a sequence, averaged over sequences.
    """

    neurons: int
    synapses: int
    spikes_per_inference: float


def inference_cost(network: Network, sequences: Sequences) -> Cost:
    """Run the hidden layers over `sequences` and count."""
    spikes = sum(part.n_spikes for part in simulate_chunks(network.hidden, sequences))
    return Cost(network.hidden.n_neurons, network.n_synapses, spikes / len(sequences))


def split_scores(estimator: Estimator, X: Any, y: Any) -> dict[str, float]:
    """Scores of a fitted estimator on one split.

    Returns
    -------
    dict
        ``accuracy`` (of sequences, or of all steps), for per-step labels also ``sequence_accuracy`` (all steps of a
        sequence right); ``r2`` for a regressor.
    """
    if not isinstance(estimator, SpikingClassifier):
        return {"r2": estimator.score(X, y)}
    predicted = estimator.predict(X)
    if not estimator.per_step:
        return {"accuracy": float(np.mean(predicted == np.asarray(y)))}
    right = [np.asarray(p) == np.asarray(t)[: len(p)] for p, t in zip(predicted, y, strict=True)]
    return {
        "accuracy": float(np.mean(np.concatenate(right))),
        "sequence_accuracy": float(np.mean([r.all() for r in right])),
    }
