"""Forecasts of real values: in closed loop step by step, and window by window."""

import numpy as np
import pytest

from convexsnn import (
    FeedbackLoop,
    Gaussian,
    Kernels,
    SpikingClassifier,
    SpikingRegressor,
    forecast,
    predict_closed_loop,
)

SERIES = np.sin(0.5 * np.arange(400.0)) + 0.5 * np.sin(0.31 * np.arange(400.0))
WINDOWS = np.lib.stride_tricks.sliding_window_view(SERIES, 20)
FAMILY = Kernels(last=300, readouts=("rate", "spike", "analog"))


def windows_model():
    return SpikingRegressor(witnesses=FAMILY, random_state=0).fit(WINDOWS[:300, :, None], SERIES[20:320])


def test_a_forecast_is_predict_again_and_again():
    model = windows_model()
    known = WINDOWS[[250, 280], :, None]
    ahead, window = forecast(model, known, 5), known.copy()
    for k in range(5):
        expected = model.predict(window)
        assert np.array_equal(ahead[:, k, 0], expected)
        window = np.concatenate([window[:, 1:], expected[:, None, None]], axis=1)


def test_a_sum_of_waves_is_forecast_far_beyond_its_training():
    ahead = forecast(windows_model(), WINDOWS[[320], :, None], 50)[0, :, 0]
    assert np.abs(ahead - SERIES[340:390]).max() < 0.2


@pytest.mark.parametrize(
    ("model", "X", "message"),
    [
        (SpikingClassifier(), WINDOWS, "estimator must be a SpikingRegressor"),
        (SpikingRegressor(per_step=True), WINDOWS, "fitted to windows"),
        (windows_model, np.zeros((2, 20, 2)), "X has 2 features"),
    ],
)
def test_what_cannot_be_forecast_is_refused(model, X, message):
    model = model() if callable(model) else model
    with pytest.raises(ValueError, match=message):
        forecast(model, X, 3)


def test_real_values_are_fed_back_step_by_step():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 15, 2))
    y = np.tanh(X[:, :, 0] + 0.5 * X[:, :, 1])
    family = Gaussian(depth=2, last=48, readout="analog")
    model = SpikingRegressor(witnesses=family, per_step=True, beta=0.01, random_state=0).fit(X, y)
    values, inputs = predict_closed_loop(model, X, FeedbackLoop(feature=1, warm_up=4), return_inputs=True)
    assert np.array_equal(inputs[:, :4], X[:, :4])
    assert np.array_equal(inputs[:, 4:, 1], values[:, 3:-1])
    assert np.allclose(model.predict(inputs), values, rtol=1e-9)
    started = predict_closed_loop(model, X, FeedbackLoop(feature=1, start=0.25), return_inputs=True)[1]
    assert (started[:, 0, 1] == 0.25).all()
    both = SpikingRegressor(witnesses=family, per_step=True, beta=0.01, random_state=0).fit(X, X[:, :, ::-1])
    answers, inputs = predict_closed_loop(both, list(X), FeedbackLoop(feature=0, output=1), return_inputs=True)
    assert answers.shape == (12, 15, 2)
    assert np.array_equal(inputs[:, 1:, 0], answers[:, :-1, 1])
