"""
Sequential digits, and a ridge readout of the same spikes
=========================================================

Search for the neurons of a spiking network for sequential digits, certify its readout, and compare it with a ridge
readout of the same spikes.

Run by ``make demo``; needs no download: the 1797 images of 8 x 8 pixels come with scikit-learn, and are shown by rows.
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.linear_model import RidgeClassifierCV

from convexsnn import Search, SpikingClassifier, build_dictionary
from convexsnn.cli import output
from convexsnn.cost import inference_cost
from convexsnn.simulation import simulate
from convexsnn.tasks import TaskSettings, load_task

SIZES, FAMILY = TaskSettings(seed=0), Search(depth=2, recurrent=True)


def main(sizes: TaskSettings = SIZES, family: Search = FAMILY) -> SpikingClassifier:
    """Train, certify, compare, print."""
    task = load_task("digits", sizes)
    model = SpikingClassifier(witnesses=family, penalty="group", beta=0.03, random_state=0, verbose=True)
    start = time.perf_counter()
    model.fit(task.train.X, task.train.y)
    seconds = time.perf_counter() - start
    output.print_facts("Certificate", model.certificate_.facts())

    ridge, ridge_neurons = fit_ridge(model, task)
    cost = inference_cost(model.network_, model.sequences(task.test.X))
    accuracy = {split: model.score(part.X, part.y) for split, part in (("train", task.train), ("test", task.test))}
    output.print_facts(
        f"Sequential digits: {len(task.train)} images of T = {task.settings.timesteps} rows, in {seconds:.1f} s",
        {
            "this network": f"train {accuracy['train']:.1%}, test {accuracy['test']:.1%}, "
            f"{model.certificate_.support} of {model.certificate_.P} columns read",
            "ridge on the same columns": f"train {ridge['train']:.1%}, test {ridge['test']:.1%}, "
            f"{ridge_neurons} of {model.certificate_.P} columns read, no certificate",
            "spikes per inference": f"{cost.spikes_per_inference:.0f}",
            "neurons, synapses": f"{cost.neurons}, {cost.synapses}",
        },
    )
    return model


def fit_ridge(model: SpikingClassifier, task) -> tuple[dict[str, float], int]:
    """A ridge readout of the neurons that `model` found, its strength chosen by leave-one-out on training data."""
    witnesses = model.trained_.witnesses
    train, test = (model.sequences(part.X) for part in (task.train, task.test))
    neurons = build_dictionary(witnesses, train).neuron_of
    features = {"train": simulate(witnesses, train), "test": simulate(witnesses, test)}
    columns = {
        split: simulation.features[:, neurons].numpy().astype(np.float64) for split, simulation in features.items()
    }
    ridge = RidgeClassifierCV(alphas=np.logspace(-3, 4, 15)).fit(columns["train"], task.train.y)
    scores = {
        split: ridge.score(columns[split], part.y) for split, part in (("train", task.train), ("test", task.test))
    }
    return scores, len(neurons)


if __name__ == "__main__":
    main()
