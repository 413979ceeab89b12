"""Several fits averaged into one network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from convexsnn import SpikingClassifier, SpikingRegressor
from convexsnn.export import to_torch
from convexsnn.families import Gaussian, Kernels
from convexsnn.members import average, fit_members
from convexsnn.sequences import as_sequences
from convexsnn.simulation import scores

X = np.random.default_rng(0).normal(size=(40, 10, 2)).cumsum(axis=1)
Y = np.where(X[:, -1, 0] > 1.0, "up", "down")
SMALL = Gaussian(branches=4, last=20)


@pytest.mark.parametrize("rows", ["all", "bootstrap"])
@pytest.mark.parametrize(
    ("model", "y"),
    [
        (SpikingClassifier(witnesses=SMALL, loss="logistic", beta=0.1), Y),
        (SpikingRegressor(witnesses=Kernels(last=40)), X[:, :, 0].mean(axis=1)),
    ],
)
def test_the_network_gives_the_mean_of_its_members_and_is_exported_as_such(model, y, rows):
    averaged = fit_members(model, X, y, members=3, rows=rows, seed=5)
    sequences = as_sequences(X)
    outputs = [scores(member.network_, sequences) for member in averaged.members]
    torch.testing.assert_close(scores(averaged.network, sequences), sum(outputs) / 3, rtol=1e-12, atol=1e-12)
    exported, _ = to_torch(averaged.network)(torch.from_numpy(X).transpose(0, 1))
    torch.testing.assert_close(exported, sum(outputs) / 3, rtol=1e-9, atol=1e-9)
    assert [member.random_state for member in averaged.members] == [5, 6, 7]
    assert averaged.certificates == tuple(member.certificate_ for member in averaged.members)
    assert averaged.score(X, y) > 0.8
    assert averaged.predict(X).shape == y.shape
    assert "nothing is proved" in str(averaged)
    again = fit_members(model, X, y, members=3, rows=rows, seed=5)
    assert again.network.equals(averaged.network)


def test_members_that_do_not_fit_together_are_refused():
    model = SpikingClassifier(witnesses=SMALL, loss="logistic", beta=0.1, random_state=0).fit(X, Y)
    other = SpikingClassifier(witnesses=SMALL, loss="logistic", beta=0.1, random_state=0).fit(X, Y == "up")
    read = SpikingClassifier(
        witnesses=Gaussian(branches=4, last=20, readout="rate"), loss="logistic", beta=0.1, random_state=0
    ).fit(X, Y)
    regressor = SpikingRegressor(witnesses=SMALL, beta=0.1).fit(X, X[:, -1, 0])
    for members, match in (
        ([model], "members must be at least two fitted estimators, got 1"),
        ([model, other], "members must know the same classes"),
        ([model, read], "must have the same readout"),
        ([model, regressor], "all be classifiers, or all regressors"),
    ):
        with pytest.raises(ValueError, match=match):
            average(members)
    with pytest.raises(ValueError, match="members must be"):
        fit_members(model, X, Y, members=1)
    with pytest.raises(ValueError, match="rows must be"):
        fit_members(model, X, Y, rows="some")
