"""A linear regression beside the network: neurons that never spike add it to the outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from convexsnn import SpikingRegressor
from convexsnn.estimators.bypass import Bypass
from convexsnn.export import to_torch
from convexsnn.families import Gaussian, Kernels
from convexsnn.proof import verify_exactly
from convexsnn.readouts import Rate
from convexsnn.sequences import as_sequences
from convexsnn.simulation import scores, simulate
from convexsnn.storage import load_model, save_model
from convexsnn.verification import verify

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 12, 2)).cumsum(axis=1)
LINEAR = 3.0 * X[:, -1, 0] - 2.0 * X[:, -2, 1] + 50.0
Y = LINEAR + np.abs(X[:, :, 1]).mean(axis=1)
FAMILIES = {
    "rate": Kernels(last=60),
    "rate and analog": Kernels(last=40, readouts=("rate", "analog")),
    "spike": Gaussian(branches=3, last=20, readout="spike"),
    "membrane": Gaussian(branches=3, last=20, readout="membrane"),
    "analog": Gaussian(branches=3, last=20, readout="analog"),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("per_step", [False, True])
def test_outputs_are_those_of_the_program_plus_the_regression_in_network_file_and_export(name, per_step, tmp_path):
    if per_step and isinstance(FAMILIES[name], Kernels):
        pytest.skip("kernels are for one label a sequence")
    y = np.stack([3.0 * X[:, :, 0], X[:, :, 1] + 1.0], axis=2) if per_step else Y
    model = SpikingRegressor(witnesses=FAMILIES[name], beta=0.1, bypass=2, per_step=per_step, random_state=0).fit(X, y)
    sequences = as_sequences(X)
    unfolded = model.target_scale_.unfolded(model.trained_.network)
    expected = scores(unfolded, sequences).numpy() + model.bypass_.outputs(sequences, per_step=per_step)
    np.testing.assert_allclose(model.predict(X).reshape(expected.shape), expected, rtol=1e-9, atol=1e-9)
    bypass = model.network_.hidden.branches[-1].last
    assert bypass.delays == (0, 1)
    alone = simulate(model.network_.hidden, as_sequences(1e6 * X)).counts[-1][0]
    assert int(alone.sum()) == 0
    if not per_step:
        exported, _ = to_torch(model.network_)(torch.from_numpy(X).transpose(0, 1))
        torch.testing.assert_close(exported, scores(model.network_, sequences), rtol=1e-9, atol=1e-9)
    save_model(model, tmp_path / "model.safetensors")
    again, _ = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert verify(again.trained_, again.certificate_, again.problem(X, y)).holds


def test_a_linear_function_is_learned_beyond_its_training():
    far = X + 100.0
    plain, beside = (
        SpikingRegressor(witnesses=Kernels(last=60), bypass=steps, random_state=0).fit(X, LINEAR) for steps in (0, 2)
    )
    np.testing.assert_allclose(beside.predict(far), 3.0 * far[:, -1, 0] - 2.0 * far[:, -2, 1] + 50.0, rtol=1e-3)
    assert beside.score(X, LINEAR) > plain.score(X, LINEAR)
    assert plain.bypass_ is None
    assert plain.network_.hidden.readout == Rate()


def test_the_regression_is_that_of_least_squares_where_nothing_need_be_shrunk():
    sequences = as_sequences(X)
    found = Bypass.of(sequences, LINEAR[:, None], np.ones(60), 3, per_step=False, centred=True)
    seen = np.concatenate([X[:, -1], X[:, -2], X[:, -3]], axis=1)
    np.testing.assert_allclose(np.array(found.weights)[:, 0], LinearRegression().fit(seen, LINEAR).coef_, atol=1e-4)
    assert Bypass.from_dict(found.to_dict()) == found


def test_unequal_lengths_see_zeros_before_the_start():
    short = [x[: 1 + i % 3] for i, x in enumerate(X)]
    y = np.array([x[-1, 0] for x in short])
    model = SpikingRegressor(witnesses=FAMILIES["spike"], beta=0.1, bypass=4, random_state=0).fit(short, y)
    np.testing.assert_allclose(model.predict(short), y, atol=0.05)


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="bypass must be"):
        SpikingRegressor(bypass=-1).fit(X, Y)
    model = SpikingRegressor(witnesses=FAMILIES["spike"], beta=0.1, bypass=1, random_state=0).fit(X, Y)
    save_model(model, tmp_path / "model.safetensors")
    proved = verify_exactly(tmp_path / "model.safetensors", X, Y)
    assert not proved.holds
    assert "no exact proof of a fit with a bypass" in proved.problems[0]
