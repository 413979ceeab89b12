"""Kernels whose weights are trained: what training begins with, what it gains, and what it does not take."""

import numpy as np
import pytest
import torch

from convexsnn import Kernels, SpikingClassifier, SpikingRegressor, Surrogate, TrainedKernels, simulate
from convexsnn.families.pilot import sampled_weights
from convexsnn.network import Branch, Hidden, Layer, Network
from convexsnn.neurons import LIF, Threshold
from convexsnn.readouts import Rate, Several, Windows
from convexsnn.simulation import scores
from convexsnn.storage import load_model, save_model
from convexsnn.surrogate.module import Gradients, TrainableNetwork
from convexsnn.surrogate.shapes import SurrogateShape
from convexsnn.verification import verify
from convexsnn.witnesses.kernels import KernelShape, kernels, with_unit_potentials
from helpers import draw_sequences, draw_targets, generator, make_problem

SMALL = {"last": 12, "epochs": 20, "learning_rate": 0.02}


def bumps(n=240, T=30, seed=0):
    """Two classes: which of two features has its bump first, in units of a thousand on a mean of five."""
    rng = np.random.default_rng(seed)
    y, first = np.arange(n) % 2, rng.integers(4, 12, size=n)
    later = first + rng.integers(3, 10, size=n)
    steps = np.arange(T)
    bump = lambda at: np.exp(-0.5 * (steps - at[:, None]) ** 2)  # noqa: E731
    X = np.stack([bump(np.where(y == 0, first, later)), bump(np.where(y == 0, later, first))], axis=2)
    return 1000.0 * (X + 0.2 * rng.normal(size=X.shape)) + [0.0, 5000.0], y


def test_trained_kernels_reach_a_lower_objective_than_those_they_begin_from():
    X, y = bumps()
    program = {"loss": "cross_entropy", "beta": 0.02, "random_state": 0}
    drawn = SpikingClassifier(witnesses=Kernels(last=12, lengths=(7,)), **program).fit(X, y)
    trained = SpikingClassifier(witnesses=TrainedKernels(**SMALL), **program).fit(X, y)
    assert trained.certificate_.primal < 0.9 * drawn.certificate_.primal
    assert trained.certificate_.relative_gap < 1e-5
    new, labels = bumps(seed=1)
    assert trained.score(new, labels) > drawn.score(new, labels)


def test_the_same_seed_gives_the_same_network_which_files_keep(tmp_path):
    X, y = bumps(n=60)
    model = SpikingClassifier(witnesses=TrainedKernels(last=8, epochs=2, windows=(3,)), random_state=3)
    again, other = (SpikingClassifier(witnesses=model.witnesses, random_state=seed).fit(X, y) for seed in (3, 4))
    model.fit(X, y)
    assert again.network_.equals(model.network_)
    assert not other.network_.equals(model.network_)
    save_model(model, tmp_path / "trained.convexsnn")
    loaded, _ = load_model(tmp_path / "trained.convexsnn")
    assert loaded.witnesses == model.witnesses
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert verify(model.trained_, model.certificate_, model.problem(X, y)).holds


def test_bad_settings_are_refused():
    for name, value in {"epochs": 0, "lengths": (), "dropout": 1.0, "surrogate": "round", "batch_size": 0}.items():
        with pytest.raises(ValueError, match=name):
            TrainedKernels(**{name: value})
    with pytest.raises(ValueError, match="batch_size"):
        Surrogate(batch_size=0)


def test_unequal_lengths_labels_at_every_step_and_numbers_are_learned():
    X, y = bumps(n=40)
    ragged = [x[: 20 + i % 10] for i, x in enumerate(X)]
    small = TrainedKernels(last=8, epochs=2)
    assert SpikingClassifier(witnesses=small, random_state=0).fit(ragged, y).certificate_.relative_gap < 1e-5
    stepwise = SpikingClassifier(witnesses=small, per_step=True, random_state=0)
    assert stepwise.fit(X, np.repeat(y[:, None], 30, axis=1)).predict(X).shape == (40, 30)
    regressor = SpikingRegressor(witnesses=small, random_state=0).fit(X, X[:, :, 0].argmax(axis=1).astype(float))
    assert regressor.certificate_.relative_gap < 1e-5


def test_windows_are_chosen_by_the_data():
    X, y = bumps()
    model = SpikingClassifier(witnesses=TrainedKernels(last=10, epochs=1, choose_windows=True), random_state=0)
    chosen = model.fit(X, y).recipe.witnesses
    assert isinstance(chosen, TrainedKernels)
    assert (chosen.choose_windows, chosen.epochs) == (False, 1)
    assert (chosen.last, chosen.windows) in {(10, ()), (4, (4,))}


def test_scaled_kernels_spike_alike():
    sequences = draw_sequences(n=9, T=12, d=2, ragged=True)
    hidden = kernels(sequences, generator(1), KernelShape(20, windows=(2,)))
    scaled = with_unit_potentials(hidden, sequences)
    assert torch.equal(simulate(hidden, sequences).features, simulate(scaled, sequences).features)
    ratio = hidden.branches[0].last.weight / scaled.branches[0].last.weight
    assert bool((ratio.nan_to_num(1.0) > 0.0).all())


@pytest.mark.parametrize("loss", ["squared", "cross_entropy", "hinge"])
def test_training_begins_with_output_weights_that_are_better_than_none(loss):
    sequences = draw_sequences(n=80, T=12, d=2)
    hidden = kernels(sequences, generator(1), KernelShape(20))
    problem = make_problem(sequences, draw_targets(loss, 80), loss)
    W = sampled_weights(hidden, problem, 0.3, seed=0)
    value = lambda S: float(problem.weights @ problem.loss.value(S, problem.targets))  # noqa: E731
    S = scores(Network(hidden, W), sequences)
    assert value(S) < value(torch.zeros_like(S))


@pytest.mark.parametrize("every_step", [False, True])
def test_neurons_without_memory_have_the_gradient_of_the_lif_neurons_they_are(every_step):
    sequences, random = draw_sequences(n=6, T=9, d=2, ragged=True), generator(5)
    weight, bias = torch.randn(6, 4, generator=random, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    zeros = torch.zeros(4, dtype=torch.float64)
    readout = Several((Windows(2, 4), Rate()))
    gradients = []
    for neuron in (Threshold(), LIF(zeros, zeros, "none")):
        layer = Layer(weight, neuron, None, bias, (0, 1, 3))
        hidden = Hidden(2, (Branch((layer,)),), readout, every_step, torch.float64)
        W = torch.ones(hidden.n_last, 1, dtype=torch.float64)
        module = TrainableNetwork(Network(hidden, W), Gradients(SurrogateShape()), torch.float64)
        module(sequences.values, sequences.lengths).square().sum().backward()
        first = module.branches[0][0]
        gradients.append((first.weight.grad, first.bias.grad, module.W.grad))
    for plain, lif in zip(*gradients, strict=True):
        assert plain is not None
        assert bool(plain.any())
        assert torch.allclose(plain, lif, rtol=1e-12, atol=1e-14)
