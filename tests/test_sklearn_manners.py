"""Metadata routing, calibration, permutation importance and the array API, as scikit-learn has them."""

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from convexsnn import Gaussian, SpikingClassifier, SpikingRegressor, permutation_importance

SMALL = {"witnesses": Gaussian(depth=2, last=48), "random_state": 0}


def bits(n=90, T=4):
    drawn = np.random.default_rng(0).integers(2, size=(n, T))
    return np.eye(2)[drawn], drawn


def test_weights_and_lengths_are_routed_through_pipelines_and_grid_searches():
    X, drawn = bits()
    y, lengths = drawn[:, 0], np.full(len(X), 2)
    weights = np.where(np.arange(len(X)) % 3 == 0, 0.0, 1.0)
    padded = X.copy()
    padded[:, 2:] = np.nan
    with config_context(enable_metadata_routing=True):
        model = SpikingClassifier(**SMALL, beta=0.1).set_fit_request(sample_weight=True, lengths=True)
        model.set_score_request(sample_weight=True, lengths=True).set_predict_request(lengths=True)
        pipeline = make_pipeline(FunctionTransformer(), model)
        grid = GridSearchCV(pipeline, {"spikingclassifier__beta": [0.1]}, cv=3, error_score="raise")
        grid.fit(padded, y, sample_weight=weights, lengths=lengths)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            make_pipeline(SpikingClassifier(**SMALL)).fit(X, y, sample_weight=weights)
        answers = grid.best_estimator_.predict(padded, lengths=lengths)
    alone = SpikingClassifier(**SMALL, beta=0.1).fit([x[:2] for x in X], y, sample_weight=weights)
    assert grid.best_estimator_[-1].certificate_ == alone.certificate_
    assert np.array_equal(answers, alone.predict([x[:2] for x in X]))


@pytest.mark.parametrize("loss", ["squared", "hinge"])
def test_losses_without_probabilities_say_so_and_are_calibrated_by_scikit_learn(loss):
    X, drawn = bits()
    y = drawn[:, 0] + drawn[:, -1]
    model = SpikingClassifier(**SMALL, loss=loss)
    with pytest.raises(AttributeError) as refused:
        _ = model.predict_proba
    assert "CalibratedClassifierCV" in str(refused.value.__cause__)
    calibrated = CalibratedClassifierCV(model, cv=3).fit(X, y)
    probabilities = calibrated.predict_proba(X)
    assert probabilities.shape == (90, 3)
    assert np.allclose(probabilities.sum(axis=1), 1.0)
    assert calibrated.score(X, y) > 0.8


def test_probabilities_are_those_that_the_loss_models():
    X, drawn = bits()
    for loss in ("cross_entropy", "logistic"):
        model = SpikingClassifier(**SMALL, loss=loss, beta=0.01).fit(X, drawn[:, 0])
        scores = model.decision_function(X)
        assert np.allclose(model.predict_proba(X)[:, 1], 1.0 / (1.0 + np.exp(-scores)))


def test_importance_is_that_of_the_features_and_steps_that_decide():
    X, drawn = bits(n=120)
    X = np.concatenate([X, np.random.default_rng(1).normal(size=(*X.shape[:2], 1))], axis=2)
    y = drawn[:, -1]
    model = SpikingClassifier(**SMALL).fit(X, y)
    by_step = permutation_importance(model, X, y, by="step", random_state=0)
    assert by_step.importances.shape == (4, 5)
    assert by_step.importances_mean.argmax() == 3
    by_feature = permutation_importance(model, X, y, n_repeats=3, random_state=0)
    assert by_feature.importances.shape == (3, 3)
    assert by_feature.importances_mean.argmin() == 2
    assert by_feature.importances_mean.max() > 0.1
    # By hand: what is left of the score where the last step comes from other sequences.
    shuffled = X.copy()
    shuffled[:, 3] = X[np.random.RandomState(0).permutation(len(X)), 3]
    assert abs(model.score(X, y) - model.score(shuffled, y) - by_step.importances_mean[3]) < 0.2
    with pytest.raises(ValueError, match="by must be one of"):
        permutation_importance(model, X, y, by="neuron")
    with pytest.raises(ValueError, match="one length"):
        permutation_importance(model, [X[0], X[1][:2]], y[:2])
    table = SpikingRegressor(**SMALL, beta=0.1).fit(X[:, 0], y)
    with pytest.raises(ValueError, match="X is a table without steps"):
        permutation_importance(table, X[:, 0], y)


def test_the_array_api_is_not_declared_and_other_arrays_are_refused_by_name():
    X, drawn = bits()
    y = drawn[:, 0]
    model = SpikingClassifier(**SMALL)
    assert not get_tags(model).array_api_support

    class Foreign:
        def __array_namespace__(self):
            return None

    with pytest.raises(ValueError, match="an array of test_sklearn_manners, which does not become one of NumPy"):
        model.fit(Foreign(), y)
    answers = model.fit(torch.from_numpy(X), y).predict(torch.from_numpy(X))
    assert isinstance(answers, np.ndarray)
