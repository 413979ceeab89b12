"""Warnings point at the line from which the library was called."""

import inspect
import warnings

import numpy as np
import pytest

from convexsnn import Exact, Gaussian, SpikingClassifier
from convexsnn.notices import warn

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4, 2)), np.arange(20) % 2
SMALL = {"witnesses": Gaussian(depth=2, last=12), "random_state": 0}
SILENT = Gaussian(depth=2, last=12, threshold=1e6, readout="spike")
SERIES = RNG.normal(size=(20, 3, 40)).cumsum(axis=2)

CALLS = {
    "no neuron fires": lambda: SpikingClassifier(witnesses=SILENT).fit(X, Y),
    "not certified": lambda: SpikingClassifier(**SMALL, max_iter=1, beta=1e-3).fit(X, Y),
    "not certified at a beta": lambda: SpikingClassifier(**SMALL, max_iter=1, beta=[1e-3, 1e-4]).fit(X, Y),
    "exchanged axes": lambda: SpikingClassifier(**SMALL).fit(SERIES, Y),
    "steps read as features": lambda: SpikingClassifier(**SMALL).fit(SERIES[:, 0], Y),
    "labels at steps read as outputs": lambda: SpikingClassifier(**SMALL).fit(X, RNG.integers(0, 2, size=(20, 4))),
    "exact, stopped early": lambda: SpikingClassifier(
        witnesses=Exact(neuron="threshold", readout="spike", method="pricing", time_limit=1e-3), beta=0.01
    ).fit(X, Y),
}


@pytest.mark.parametrize("name", CALLS)
def test_warnings_of_the_library_are_at_the_line_of_the_caller(name):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        CALLS[name]()
    first, last = (inspect.getsourcelines(CALLS[name])[1] + shift for shift in (0, 4))
    assert heard
    for warning in heard:
        assert warning.filename == __file__, warning
        assert first <= warning.lineno <= last


def test_a_warning_from_outside_the_library_is_at_the_line_that_calls():
    with pytest.warns(RuntimeWarning, match="hot") as heard:
        warn("hot", RuntimeWarning)
    assert heard[0].filename == __file__
