"""Random dilated kernels: what is drawn, that every neuron tells steps apart, and fits with them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn import Gaussian, Kernels, SpikingClassifier, SpikingRegressor, as_sequences, simulate
from convexsnn.export import to_torch
from convexsnn.memoryless import runs_whole
from convexsnn.neurons import Threshold
from convexsnn.readouts import Rate, Several, Windows
from convexsnn.storage import load_model, save_model
from convexsnn.verification import verify
from convexsnn.witnesses.kernels import KernelShape, kernels
from helpers import draw_sequences, generator


def waves(n=60, T=40, d=2, seed=0):
    """Two classes of noisy waves of random phase, whose frequencies differ by a fifth."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    t, phase = np.arange(T), rng.uniform(0.0, 6.0, n)
    wave = np.sin(0.6 * (1.0 + 0.2 * y)[:, None] * t + phase[:, None])
    X = rng.normal(size=(n, T, d))
    X[:, :, 0] = 100.0 * (wave + 0.3 * X[:, :, 0]) + 1000.0
    return X, y


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 60), st.integers(0, 5))
def test_every_draw_is_a_network_that_fits_the_sequences(T, d, neurons, seed):
    sequences = draw_sequences(n=9, T=T, d=d, seed=seed, ragged=seed % 2 == 1)
    hidden = kernels(sequences, generator(seed), KernelShape(neurons, windows=(2, 3)))
    assert runs_whole(hidden)
    assert sum(branch.last.m for branch in hidden.branches) == neurons
    assert hidden.n_last == neurons * hidden.readout.parts
    for branch in hidden.branches:
        layer = branch.last
        assert isinstance(layer.neuron, Threshold)
        assert layer.bias is not None
        assert layer.delays[0] == 0
        assert bool((layer.weight != 0).any(dim=0).all())
        # Kernels fit into half of the sequences; of differences they see one step more.
        assert layer.delays[-1] <= max(1, int(sequences.lengths.median()))
    assert np.isfinite(simulate(hidden, sequences).margin)


def test_neurons_fire_at_some_steps_and_not_at_others_whatever_the_units():
    X, _ = waves()
    for scale in (1.0, 1e-6, 1e6):
        sequences = as_sequences(X * scale)
        hidden = kernels(sequences, generator(), KernelShape(600, dtype="float64"))
        rates = simulate(hidden, sequences).features
        assert float((rates.std(dim=0) > 1e-3).double().mean()) > 0.95
        assert float(rates.mean()) == pytest.approx(0.5, abs=0.1)


def test_one_kernel_is_a_convolution_with_a_threshold():
    X, _ = waves(n=5)
    sequences = as_sequences(X)
    hidden = kernels(sequences, generator(), KernelShape(20, lengths=(3,), dtype="float64"))
    found, start = simulate(hidden, sequences).features, 0
    for branch in hidden.branches:
        layer = branch.last
        weight = layer.weight.view(len(layer.delays), 2, layer.m)
        for j in range(layer.m):
            potential = torch.full((5, 40), float(layer.bias[j]), dtype=torch.float64)
            for k, delay in enumerate(layer.delays):
                shifted = torch.zeros(5, 40, 2, dtype=torch.float64)
                shifted[:, delay:] = sequences.values[:, : 40 - delay]
                potential += shifted @ weight[k, :, j]
            assert torch.allclose(found[:, start + j], (potential >= 0).double().mean(dim=1))
        start += layer.m


def test_kernels_of_differences_do_not_see_a_level():
    sequences = draw_sequences(n=6, T=20, d=1)
    hidden = kernels(sequences, generator(), KernelShape(200, lengths=(3,), dtype="float64"))
    level = 0
    for branch in hidden.branches:
        layer = branch.last
        neighbours = any(b == a + 1 for a, b in zip(layer.delays, layer.delays[1:], strict=False))
        if neighbours and len(layer.delays) > 3:
            assert torch.allclose(layer.weight.sum(dim=0), torch.zeros(layer.m, dtype=torch.float64), atol=1e-12)
            level += layer.m
    assert 40 < level < 160


def test_what_is_read():
    assert KernelShape().readout(50) == Rate()
    assert KernelShape(windows=(2, 4)).readout(50) == Several((Rate(), Windows(2, 25), Windows(4, 12)))
    assert KernelShape(windows=(2, 4)).readout(3) == Several((Rate(), Windows(2, 1)))
    assert KernelShape(windows=(2, 4)).readout(1) == Rate()


def test_a_fit_on_waves_is_certified_and_verified(tmp_path):
    X, y = waves()
    model = SpikingClassifier(witnesses=Kernels(last=800), loss="logistic", beta=0.1, random_state=0).fit(X, y)
    X_test, y_test = waves(seed=1)
    assert model.score(X_test, y_test) > 0.9
    assert model.certificate_.holds(1e-6)
    assert model.certificate_.global_bound is not None
    assert verify(model.trained_, model.certificate_, model.problem(X, y)).holds
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert np.array_equal(loaded.decision_function(X_test), model.decision_function(X_test))
    again = SpikingClassifier(witnesses=Kernels(last=800), loss="logistic", beta=0.1, random_state=0).fit(X, y)
    assert again.network_.equals(model.network_)
    # Far fewer neurons are left than were drawn.
    assert model.network_.hidden.n_neurons < 100


def test_units_of_the_input_change_nothing_but_rounding():
    X, y = waves()
    fits = [
        SpikingClassifier(witnesses=Kernels(last=300, dtype="float64"), beta=0.1, random_state=0).fit(X * scale, y)
        for scale in (1.0, 2.0**20)
    ]
    assert fits[0].certificate_.primal == fits[1].certificate_.primal


def test_unequal_lengths_regression_and_every_step():
    X, y = waves()
    ragged = [x[: 20 + i % 20] for i, x in enumerate(X)]
    model = SpikingClassifier(witnesses=Kernels(last=300), beta="path", random_state=0).fit(ragged, y)
    assert model.score(ragged, y) > 0.9
    regressor = SpikingRegressor(witnesses=Kernels(last=300, windows=(2,)), beta="path", intercept=True, random_state=0)
    assert regressor.fit(X, X[:, :, 1].mean(axis=1)).score(X, X[:, :, 1].mean(axis=1)) > 0.5
    steps = (X[:, :, 0] > 1000.0).astype(int)
    stepwise = SpikingClassifier(witnesses=Kernels(last=100), per_step=True, beta=0.1, random_state=0)
    assert stepwise.fit(X[:20], steps[:20]).predict(X[:20]).shape == (20, 40)


def test_kernels_join_other_neurons_that_are_read_alike():
    X, y = waves(n=30)
    family = Kernels(last=30) + Gaussian(depth=2, last=20, readout="rate")
    model = SpikingClassifier(witnesses=family, beta=0.05, random_state=0).fit(X, y)
    assert model.certificate_.holds(1e-6)
    assert model.trained_.witnesses.n_last == 50
    with pytest.raises(ValueError, match="readout"):
        SpikingClassifier(witnesses=Kernels(last=30) + Gaussian(depth=2, readout="spike")).fit(X, y)


def test_an_exported_module_answers_as_the_model():
    X, y = waves(n=30)
    family = Kernels(last=200, readouts=("rate", "spike", "analog"))
    model = SpikingClassifier(witnesses=family, loss="cross_entropy", beta=0.05, random_state=0).fit(X, y)
    outputs, _ = to_torch(model.network_)(torch.from_numpy(X).transpose(0, 1))
    assert torch.allclose(outputs[:, 1] - outputs[:, 0], torch.from_numpy(model.decision_function(X)), atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"last": 0}, "neurons must be an integer of at least 1"),
        ({"lengths": ()}, "lengths must hold at least one"),
        ({"lengths": (0,)}, "lengths must be an integer of at least 1"),
        ({"windows": (1,)}, "windows must be an integer of at least 2"),
        ({"windows": (2, 2)}, "windows must hold every entry once"),
        ({"dtype": "float16"}, "dtype must be one of"),
        ({"leak": 0.5}, "leak"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Kernels(**settings)
