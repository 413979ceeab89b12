"""convexsnn.aeon: what aeon itself asks of its estimators, and that the axes are the right way round."""

import numpy as np
import pytest

aeon = pytest.importorskip("aeon")

from aeon.datasets import load_classification  # noqa: E402
from aeon.testing.estimator_checking import parametrize_with_checks  # noqa: E402

from convexsnn import Kernels, SpikingClassifier  # noqa: E402
from convexsnn.aeon import SpikingSeriesClassifier, SpikingSeriesRegressor  # noqa: E402


@parametrize_with_checks([SpikingSeriesClassifier, SpikingSeriesRegressor])
def test_contract_of_aeon(check):
    check()


def test_series_of_unequal_length_are_answered_as_by_the_estimator_within():
    X, y = load_classification("JapaneseVowels", split="train")
    within = SpikingClassifier(witnesses=Kernels(last=60), loss="logistic")
    model = SpikingSeriesClassifier(within, random_state=3).fit(X, y)
    direct = SpikingClassifier(witnesses=Kernels(last=60), loss="logistic", random_state=3)
    direct.fit([x.T for x in X], y)
    assert np.array_equal(model.predict_proba(X), direct.predict_proba([x.T for x in X]))
    assert not hasattr(within, "network_")
    assert model.estimator_.certificate_.relative_gap <= 1e-6
