"""Columns as features: `SpikingTransformer`."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from convexsnn import Gaussian, SpikingClassifier, SpikingRegressor, SpikingTransformer
from convexsnn.simulation import simulate

SMALL = {"witnesses": Gaussian(depth=2, last=24), "random_state": 0}


def bits(n=80, T=4):
    drawn = np.random.default_rng(0).integers(2, size=(n, T))
    return np.eye(2)[drawn], drawn[:, 0] ^ drawn[:, -1]


@parametrize_with_checks([SpikingTransformer(SpikingClassifier(**SMALL))])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_columns_are_what_the_output_reads_of_the_neurons():
    X, y = bits()
    used = SpikingTransformer(SpikingClassifier(**SMALL)).fit(X, y)
    columns, network = used.transform(X), used.estimator_.network_
    assert columns.dtype == np.float64
    assert columns.shape == (80, network.hidden.n_last)
    outputs = columns @ network.W.numpy()
    assert np.allclose(outputs[:, 1] - outputs[:, 0], used.estimator_.decision_function(X))
    every = clone(used).set_params(columns="all").fit(X, y)
    witnesses = every.estimator_.trained_.witnesses
    assert np.array_equal(every.transform(X), simulate(witnesses, used.estimator_.sequences(X)).features.numpy())
    assert every.transform(X).shape == (80, 24)


def test_names_frames_and_sequences_of_several_lengths():
    pandas = pytest.importorskip("pandas")
    X, y = bits()
    neurons = SpikingTransformer(SpikingClassifier(**SMALL)).set_output(transform="pandas")
    table = neurons.fit(list(X), y).transform([x[: 2 + k % 2] for k, x in enumerate(X[:6])])
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == list(neurons.get_feature_names_out())
    assert table.columns[0] == "spikingtransformer0"
    model = make_pipeline(neurons, RandomForestClassifier(10, random_state=0)).fit(X, y)
    assert model.score(X, y) > 0.75


def test_the_default_is_a_regressor_for_real_labels_and_else_a_classifier():
    X = np.random.default_rng(0).normal(size=(30, 9, 1))
    for y, kind in ((X.sum(axis=(1, 2)), SpikingRegressor), (X.sum(axis=(1, 2)) > 0, SpikingClassifier)):
        assert isinstance(SpikingTransformer().fit(X, y).estimator_, kind)


def test_what_it_does_not_cover_is_refused_by_name():
    X, y = bits()
    with pytest.raises(ValueError, match="columns"):
        SpikingTransformer(columns="some").fit(X, y)
    with pytest.raises(ValueError, match="per_step=False"):
        SpikingTransformer(SpikingClassifier(per_step=True)).fit(X, y)
    with pytest.raises(ValueError, match="must be a SpikingClassifier or a SpikingRegressor"):
        SpikingTransformer(RandomForestClassifier()).fit(X, y)
    with pytest.raises(NotFittedError):
        SpikingTransformer().transform(X)
