"""Surrogate gradients through delays and readouts over time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from convexsnn import SpikingClassifier, Surrogate
from convexsnn.export import to_torch
from convexsnn.families.surrogate import dilated
from convexsnn.hybrids import fine_tune
from convexsnn.network import Network
from convexsnn.readouts import Analog, Count, Leaky, Membrane, Rate, Several, Spike, Windows
from convexsnn.simulation import scores
from convexsnn.surrogate import SurrogateSettings, SurrogateShape, initial_network, train_surrogate
from convexsnn.surrogate.module import Gradients, TrainableNetwork
from convexsnn.witnesses import Architecture
from helpers import (
    assert_gradients_are_those_of_the_trainer,
    draw_hidden,
    draw_sequences,
    draw_targets,
    generator,
    make_problem,
)

READOUTS = {
    "spike": Spike(),
    "rate": Rate(),
    "count": Count(),
    "leaky": Leaky(0.7),
    "windows": Windows(3, 2),
    "several": Several((Windows(2, 3), Leaky(0.5), Spike(), Analog(), Membrane(), Rate())),
}
DELAYS = ((0, 2, 5), (1, 3))


def draw(readout, delays=DELAYS, *, every_step=False, kind="recurrent LIF"):
    """Two branches of two layers, whose connections have `delays`."""
    hidden, random = draw_hidden(kind, readout=readout, every_step=every_step), generator(7)
    branches = []
    for branch in hidden.branches:
        layers = []
        for layer, own in zip(branch.layers, delays, strict=True):
            weight = torch.randn(layer.n_in * len(own), layer.m, generator=random, dtype=torch.float64)
            layers.append(replace(layer, weight=0.7 * weight, delays=own))
        branches.append(replace(branch, layers=tuple(layers)))
    hidden = replace(hidden, branches=tuple(branches))
    return Network(hidden, torch.randn(hidden.n_last, 2, generator=random, dtype=torch.float64))


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("name", READOUTS)
def test_the_module_computes_what_the_simulation_does(name, every_step):
    network, sequences = draw(READOUTS[name], every_step=every_step), draw_sequences(T=8, ragged=True)
    module = TrainableNetwork(network, Gradients(SurrogateShape()), torch.float64)
    assert torch.allclose(module(sequences.values, sequences.lengths), scores(network, sequences))
    assert module.to_network().equals(network)


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("name", READOUTS)
def test_gradients_are_those_of_automatic_differentiation(name, every_step):
    """The exported module is differentiated by torch alone, step by step."""
    network = draw(READOUTS[name], every_step=every_step)
    gradients = Gradients(SurrogateShape("arctan", 0.5), detach_reset=False, learn_leak=True, learn_threshold=True)
    module, trainer = to_torch(network, gradients), TrainableNetwork(network, gradients, torch.float64)
    values = draw_sequences(T=7).values
    y = module(values.transpose(0, 1))[0]
    (y.transpose(0, 1).flatten(0, 1) if every_step else y).square().sum().backward()
    trainer(values, torch.full((len(values),), 7)).square().sum().backward()
    assert_gradients_are_those_of_the_trainer(module, trainer)


@pytest.mark.parametrize("name", ["rate", "windows", "several"])
def test_training_lowers_the_objective(name):
    sequences = draw_sequences(40, 6)
    problem = make_problem(sequences, draw_targets("logistic", 40, 2), "logistic", rho=1e-3)
    start = draw(READOUTS[name])
    result = train_surrogate(start, problem, SurrogateSettings(epochs=30, learning_rate=1e-2))
    assert problem.objective(result.network) < 0.8 * problem.objective(start)
    assert [layer.delays for layer in result.network.hidden.layers()] == [*DELAYS, *DELAYS]


def test_dropout_silences_whole_columns_of_rates():
    start = initial_network(Architecture(3, depth=2, branches=1, last=40, readout="rate"), 1, generator(0))
    module = TrainableNetwork(Network(start.hidden, torch.eye(40, dtype=torch.float64)), Gradients(SurrogateShape()))
    values, lengths = draw_sequences(5, 6).values.float() + 2.0, torch.full((5,), 6)
    whole, thin = module(values, lengths), module(values, lengths, 0.5, generator(1))
    assert bool((torch.isclose(thin, 2.0 * whole) | (thin == 0.0)).all())
    assert 0.3 < float((thin == 0.0)[whole != 0.0].float().mean()) < 0.7


def data(n=60, T=8):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, T, 2))
    return X, (X[:, :, 0].mean(axis=1) > 0.0).astype(int)


def test_the_family_and_fine_tuning_read_rates():
    X, y = data()
    family = Surrogate(readout="rate", depth=2, last=16, branches=1, epochs=20)
    model = SpikingClassifier(witnesses=family, random_state=0, beta=0.01).fit(X, y)
    assert model.network_.hidden.readout == Rate()
    assert model.score(X, y) > 0.8
    problem, start = model.problem(X, y), initial_network(Architecture(2, last=16, readout="rate"), 2, generator(0))
    start = replace(start, W=start.W[:, : problem.targets.shape[1]])
    tuned = fine_tune(start, problem, SurrogateSettings(epochs=20, learning_rate=1e-2))
    assert problem.objective(tuned) < problem.objective(start)


def test_the_family_trains_delays_and_solves_for_the_readout():
    """The label is the sign of products of steps five apart, which a neuron without memory or delays cannot see."""
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], size=(80, 11, 1)) + 0.1 * rng.normal(size=(80, 11, 1))
    y = (np.sign(X[:, 5:, 0] * X[:, :-5, 0]).sum(axis=1) > 0).astype(int)
    shape = {"depth": 2, "last": 32, "readout": "rate", "leak": 0.0, "bias": True, "learn_leak": False, "epochs": 20}
    fits = {
        taps: SpikingClassifier(witnesses=Surrogate(**shape, taps=taps), beta=0.02, random_state=0).fit(X, y)
        for taps in (1, 2)
    }
    assert fits[2].certificate_.holds(1e-6)
    assert {layer.delays for layer in fits[2].network_.hidden.layers()} <= {(0, 1), (0, 5)}
    assert fits[2].certificate_.primal < 0.8 * fits[1].certificate_.primal


def test_gaps_between_taps_go_from_one_step_to_half_of_a_sequence():
    assert dilated(1, 3, 50) == [(0,), (0,), (0,)]
    assert dilated(3, 3, 65) == [(0, 1, 2), (0, 4, 8), (0, 16, 32)]
    assert dilated(9, 2, 4) == [(0, 1, 2, 3), (0, 1, 2, 3)]
