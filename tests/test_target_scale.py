"""Targets in standard units: what a regressor learns and answers does not depend on their unit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn import Gaussian, Kernels, SpikingRegressor
from convexsnn.estimators.target_scale import TargetScale
from convexsnn.export import to_torch
from convexsnn.simulation import scores
from convexsnn.storage import load_model, save_model
from convexsnn.verification import verify

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 12, 2))
Y = np.column_stack([X[:, -1, 0] - X[:, -3, 1], X.mean(axis=(1, 2))])
UNITS, ZEROS = np.array([1e5, 1e-4]), np.array([-3e6, 7.0])


def regressor(**parameters):
    family = Gaussian(depth=2, last=64, readout="rate")
    return SpikingRegressor(**{"witnesses": family, "beta": 0.01, "random_state": 0, "intercept": True} | parameters)


@given(st.integers(0, 1000), st.booleans())
@settings(max_examples=30, deadline=None)
def test_scaled_targets_have_deviation_one_and_come_back(seed, centred):
    rng = np.random.default_rng(seed)
    values, weights = rng.normal(size=(20, 3)) * 10.0 ** rng.integers(-120, 120, size=3), rng.integers(1, 4, size=20)
    scale = TargetScale.of(values, weights, centred=centred)
    targets = scale.scaled(values).numpy()
    mean = np.average(targets, axis=0, weights=weights)
    assert np.allclose(np.average((targets - mean) ** 2, axis=0, weights=weights), 1.0)
    assert np.allclose(mean, 0.0) or not centred
    assert np.allclose(targets * scale.unit + scale.offset, values, rtol=1e-12)
    assert TargetScale.from_dict(scale.to_dict()) == scale


def test_targets_that_do_not_vary_have_unit_one():
    scale = TargetScale.of(np.full((5, 1), 0.1), np.ones(5), centred=True)
    assert scale.unit == (1.0,)
    model = regressor().fit(X, np.full(60, 0.1))
    assert np.allclose(model.predict(X), 0.1, rtol=1e-12)


@pytest.mark.parametrize("family", [Gaussian(depth=2, last=64, readout="rate"), Kernels(last=64), Kernels(
    last=40, readouts=("rate", "spike", "analog"))])  # fmt: skip
def test_units_and_zeros_of_targets_do_not_matter(family):
    one = regressor(witnesses=family).fit(X, Y)
    other = regressor(witnesses=family).fit(X, Y * UNITS + ZEROS)
    assert one.certificate_.primal == pytest.approx(other.certificate_.primal, rel=1e-6)
    assert np.allclose(one.predict(X) * UNITS + ZEROS, other.predict(X), rtol=1e-6)
    assert one.score(X, Y) == pytest.approx(other.score(X, Y * UNITS + ZEROS), abs=1e-6)


@pytest.mark.parametrize("intercept", [True, False])
def test_network_and_exports_answer_in_the_unit_of_the_user_and_files_keep_it(tmp_path, intercept):
    y = Y * UNITS + (ZEROS if intercept else 0.0)
    model = regressor(intercept=intercept).fit(X, y)
    assert np.array_equal(scores(model.network_, model.sequences(X)).numpy(), model.predict(X))
    answered = to_torch(model.network_)(torch.from_numpy(X).transpose(0, 1))[0].detach().numpy()
    assert np.allclose(answered, model.predict(X), rtol=1e-9)
    save_model(model, tmp_path / "m.safetensors")
    again, _ = load_model(tmp_path / "m.safetensors")
    assert np.array_equal(again.predict(X), model.predict(X))
    problem = again.problem(X, y)
    assert problem.data_digest == model.trained_.data_digest
    assert not verify(again.trained_, again.certificate_, problem).problems


def test_the_mean_is_given_by_one_always_firing_neuron():
    shifted = regressor().fit(X, Y + ZEROS).network_
    constant = [b for b in shifted.hidden.branches if b.last.m == 1 and not b.last.weight.any() and b.last.bias == 1.0]
    assert len(constant) == 1


def test_validation_of_another_number_of_outputs_is_refused():
    with pytest.raises(ValueError, match="validation: y has 1 outputs, but y in fit has 2 outputs"):
        regressor().fit(X, Y, validation=(X, Y[:, 0]))
