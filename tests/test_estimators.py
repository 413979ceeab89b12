"""scikit-learn estimators: the contract, inputs and labels of every form, clear errors."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from convexsnn import Gaussian, Search, SpikingClassifier, SpikingRegressor


def small(**settings):
    """One layer of a few neurons that are drawn."""
    return {"witnesses": Gaussian(**({"depth": 2, "last": 64} | settings)), "random_state": 0}


SMALL = small()
GAUSSIAN = {"witnesses": "gaussian", "random_state": 0}
QUICK = {"witnesses": Search(rounds=3, effort=2e7, population=16), "random_state": 0}


@parametrize_with_checks([kind(**how) for how in (GAUSSIAN, QUICK) for kind in (SpikingClassifier, SpikingRegressor)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def bits(n=120, T=5, seed=0):
    drawn = np.random.default_rng(seed).integers(2, size=(n, T))
    return np.eye(2)[drawn], drawn


@pytest.mark.parametrize("loss", ["cross_entropy", "logistic", "hinge", "squared"])
@pytest.mark.parametrize("penalty", ["l1", "group"])
@pytest.mark.parametrize("classes", [2, 3])
def test_every_loss_and_penalty_classifies(loss, penalty, classes):
    X, drawn = bits()
    y = drawn[:, :2].sum(axis=1).clip(max=classes - 1)
    model = SpikingClassifier(loss=loss, penalty=penalty, beta=0.01, **small(last=256)).fit(X, y)
    assert model.certificate_.holds(1e-6)
    assert model.certificate_.scope == "dictionary"
    assert model.score(X, y) > 0.95
    decision = model.decision_function(X)
    assert decision.shape == ((len(X),) if classes == 2 else (len(X), classes))
    assert hasattr(model, "predict_proba") == (loss in ("cross_entropy", "logistic"))
    if hasattr(model, "predict_proba"):
        probabilities = model.predict_proba(X)
        assert probabilities.shape == (len(X), classes)
        assert np.allclose(probabilities.sum(axis=1), 1.0)
        assert np.array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))


@pytest.mark.parametrize("labels", [np.array(["no", "yes"]), np.array([False, True]), np.array([-3, 8])])
def test_labels_of_every_type_come_back(labels):
    X, drawn = bits()
    model = SpikingClassifier(beta=0.001, **small(last=256)).fit(X, labels[drawn[:, -1]])
    assert np.array_equal(model.classes_, np.sort(labels))
    assert np.array_equal(model.predict(X), labels[drawn[:, -1]])
    assert model.predict(X).dtype == labels.dtype


def test_sequences_of_unequal_length():
    _, drawn = bits(T=6)
    lengths = np.random.default_rng(1).integers(2, 7, size=len(drawn))
    X = [np.eye(2)[b[:k]] for b, k in zip(drawn, lengths, strict=True)]
    y = np.array([b[k - 1] for b, k in zip(drawn, lengths, strict=True)])
    model = SpikingClassifier(**SMALL).fit(X, y)
    assert model.score(X, y) > 0.9
    assert np.array_equal(model.predict(X[:3]), model.predict(X)[:3])


def test_labels_at_every_step():
    X, drawn = bits()
    y = np.array(["even", "odd"])[drawn]
    model = SpikingClassifier(per_step=True, **SMALL).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.score(X, y) == np.mean(model.predict(X) == y) > 0.9
    ragged = [x[:k] for x, k in zip(X, [1, 2, 3] * 40, strict=True)]
    predicted = model.predict(ragged)
    assert [p.shape for p in predicted[:3]] == [(1,), (2,), (3,)]
    assert [p.shape for p in model.predict_proba(ragged)[:3]] == [(1, 2), (2, 2), (3, 2)]
    assert model.score(ragged, [t[: len(x)] for x, t in zip(ragged, y, strict=True)]) > 0.9


def test_two_dimensional_input_is_constant_current():
    X = np.random.default_rng(0).normal(size=(100, 3))
    y = X[:, 0] > 0
    flat = SpikingClassifier(timesteps=4, **SMALL).fit(X, y)
    shown = SpikingClassifier(**SMALL).fit(np.repeat(X[:, None], 4, axis=1), y)
    assert np.array_equal(flat.decision_function(X), shown.decision_function(np.repeat(X[:, None], 4, axis=1)))


def test_sample_weight_zero_is_absence_and_two_is_repetition():
    X, drawn = bits(n=60)
    y, weight = drawn[:, 0] ^ drawn[:, 1], np.tile([0, 1, 2], 20)
    index = np.repeat(np.arange(60), weight)
    weighted = SpikingClassifier(**SMALL).fit(X, y, sample_weight=weight)
    repeated = SpikingClassifier(**SMALL).fit(X[index], y[index])
    assert weighted.certificate_.primal == pytest.approx(repeated.certificate_.primal, rel=2e-6)
    assert np.allclose(weighted.decision_function(X), repeated.decision_function(X), atol=1e-2)


def test_class_weight_shifts_the_decision():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 2)), np.r_[np.zeros(180, int), np.ones(20, int)]
    plain = SpikingClassifier(**SMALL).fit(X, y)
    balanced = SpikingClassifier(class_weight="balanced", **SMALL).fit(X, y)
    assert (balanced.predict(X) == 1).sum() > (plain.predict(X) == 1).sum()
    by_hand = SpikingClassifier(class_weight={0: 200 / 360, 1: 200 / 40}, **SMALL).fit(X, y)
    assert by_hand.certificate_.primal == pytest.approx(balanced.certificate_.primal, rel=2e-6)


def test_intercept_helps_where_nothing_else_can():
    X, y = np.zeros((30, 2, 1)), np.full(30, 3.0)
    X[0] = 1e-3  # the input says nothing
    without = SpikingRegressor(beta=1e-4, intercept=False, **small(readout="spike"))
    with pytest.warns(UserWarning, match="no last-layer neuron fires"):
        without.fit(X, y)
    assert np.array_equal(without.predict(X), np.zeros(30))
    model = SpikingRegressor(beta=1e-4, intercept=True, **small(readout="spike")).fit(X, y)
    assert np.allclose(model.predict(X), 3.0, atol=1e-3)


def test_regressor_shapes():
    X, drawn = bits()
    single = SpikingRegressor(beta=0.01, **SMALL).fit(X, drawn[:, -1] + 0.5)
    assert single.predict(X).shape == (len(X),)
    both = np.stack([drawn[:, -1], 2.0 * drawn[:, 0]], axis=1)
    several = SpikingRegressor(beta=0.01, penalty="group", **SMALL).fit(X, both)
    assert several.predict(X).shape == both.shape
    assert several.score(X, both) > 0.7
    stepwise = SpikingRegressor(beta=0.01, per_step=True, **SMALL).fit(X, drawn.astype(float))
    assert stepwise.predict(X).shape == drawn.shape
    assert stepwise.score(X, drawn.astype(float)) > 0.9
    vectors = SpikingRegressor(beta=0.01, per_step=True, **SMALL).fit(X, X)
    assert vectors.predict(X).shape == X.shape


def test_same_seed_same_result_and_seed_matters():
    X, drawn = bits()
    y = drawn[:, 0] ^ drawn[:, 1]
    one, two = (SpikingClassifier(**SMALL).fit(X, y) for _ in range(2))
    assert np.array_equal(one.decision_function(X), two.decision_function(X))
    other = SpikingClassifier(**(SMALL | {"random_state": 1})).fit(X, y)
    assert not np.array_equal(one.decision_function(X), other.decision_function(X))


def test_clone_pickle_pipeline_and_grid_search():
    X, drawn = bits(n=60)
    y = drawn[:, -1]
    model = SpikingClassifier(**SMALL)
    assert clone(model).get_params() == model.get_params()
    fitted = pickle.loads(pickle.dumps(model.fit(X, y)))
    assert np.array_equal(fitted.predict(X), model.predict(X))
    pipeline = make_pipeline(FunctionTransformer(), SpikingClassifier(**SMALL))
    search = GridSearchCV(pipeline, {"spikingclassifier__beta": [0.01, 10.0]}, cv=2).fit(X, y)
    assert search.best_params_["spikingclassifier__beta"] == 0.01


def test_cross_validation_in_processes_of_joblib():
    X, drawn = bits(n=60)
    y = drawn[:, -1]
    pipeline = make_pipeline(FunctionTransformer(), SpikingClassifier(**SMALL))
    alone = cross_val_score(pipeline, X, y, cv=2)
    assert np.array_equal(cross_val_score(pipeline, X, y, cv=2, n_jobs=2), alone)
    assert alone.min() > 0.8
    regressor = make_pipeline(StandardScaler(), SpikingRegressor(timesteps=3, **SMALL))
    assert cross_val_score(regressor, X[:, -1], y.astype(float), cv=2).min() > 0.5


@pytest.mark.parametrize("kind", [SpikingClassifier, SpikingRegressor])
def test_fitted_estimators_are_kept_by_joblib(kind, tmp_path):
    X, drawn = bits(n=60)
    model = kind(beta=[0.1, 0.01], **SMALL).fit(X, drawn[:, -1])
    joblib.dump(model, tmp_path / "model.joblib")
    back = joblib.load(tmp_path / "model.joblib")
    assert np.array_equal(back.predict(X), model.predict(X))
    assert back.certificate_ == model.certificate_
    again = clone(back).fit(X, drawn[:, -1])
    assert np.array_equal(again.predict(X), model.predict(X))


def test_a_fit_that_misses_its_tolerance_warns_and_says_so():
    X, drawn = bits()
    model = SpikingClassifier(max_iter=1, tol=1e-12, beta=1e-3, **SMALL)
    with pytest.warns(ConvergenceWarning, match="not certified to tol=1e-12"):
        model.fit(X, drawn[:, 0] ^ drawn[:, 1])
    assert model.certificate_.relative_gap > 1e-12
    assert np.isfinite(model.certificate_.relative_gap)


# Hidden weights that labels decide on: betas are compared on a part that is held out.
SPLIT = {"witnesses": "surrogate", "beta": "path"}
X3, Y3 = bits(n=10)[0], np.arange(10) % 2


@pytest.mark.parametrize(
    ("settings", "X", "y", "message"),
    [
        ({}, np.full((10, 2, 1), np.nan), Y3, "X contains NaN"),
        ({}, np.full((10, 2), np.inf), Y3, "X contains infinity"),
        ({}, np.zeros((10, 2, 2, 2)), Y3, "dim 4|shape"),
        ({}, np.zeros((0, 2, 2)), [], "at least one sequence"),
        ({}, np.zeros((10, 0, 2)), Y3, "at least one step"),
        ({}, X3, np.zeros(10), "one class"),
        ({}, X3[:1], [0], "X holds one sample"),
        ({}, X3[0, :1], [0], "minimum of 2 is required"),
        ({}, X3, Y3[:9], r"inconsistent numbers of samples: \[10, 9\]"),
        ({}, X3, np.zeros((10, 5), int), "per_step=True"),
        ({}, X3, np.linspace(0, 1, 10), "Unknown label type"),
        ({}, X3, None, "requires y"),
        ({"per_step": True}, X3, Y3, "per_step=False"),
        ({"per_step": True}, X3, np.zeros((9, 5), int), "9 sequences but X has 10"),
        ({"per_step": True}, X3, np.zeros((10, 4), int), r"y\[0\] must hold one label for each of its 5 steps"),
        ({"loss": "mse"}, X3, Y3, "loss must be one of"),
        ({"penalty": "l2"}, X3, Y3, "penalty must be one of 'auto', 'l1', 'group'"),
        ({"beta": 0.0}, X3, Y3, "beta must be more than 0"),
        ({"beta": -1}, X3, Y3, "beta"),
        ({"beta": "big"}, X3, Y3, "beta must be a number"),
        ({"beta": []}, X3, Y3, "beta must hold at least one number"),
        ({"beta": [1.0, 1.0]}, X3, Y3, "beta must hold every number once"),
        ({"beta": [0.1, 0.0]}, X3, Y3, r"beta\[1\] must be more than 0"),
        ({"beta": [1.0, 1e-300]}, X3, Y3, "beta .* too small"),
        ({"beta": "path", "rho": 1.0}, X3, Y3, "rho takes the place of beta"),
        (SPLIT | {"validation_fraction": 0.05}, X3, Y3, "validation_fraction=0.05 of 10 sequences is 0"),
        (SPLIT | {"validation_fraction": 0.9}, X3, Y3, "validation_fraction=0.9 of 10 sequences is 9"),
        ({"validation_fraction": 0.0}, X3, Y3, "validation_fraction must be more than 0"),
        ({"validation_fraction": 1.0}, X3, Y3, "validation_fraction must be less than 1"),
        ({"validation_fraction": "some"}, X3, Y3, "validation_fraction must be a number"),
        ({"rho": 0.0}, X3, Y3, "rho"),
        ({"tol": 0.0}, X3, Y3, "tol"),
        ({"max_iter": 0}, X3, Y3, "max_iter"),
        ({"witnesses": "gausian"}, X3, Y3, "Did you mean 'gaussian'"),
        ({"witnesses": None}, X3, Y3, "witnesses must be the name of a family"),
        ({"timesteps": 0}, X3, Y3, "timesteps"),
        ({"random_state": -1}, X3, Y3, "random_state"),
        ({"random_state": "x"}, X3, Y3, "seed"),
        ({"device": "quantum"}, X3, Y3, "device 'quantum' is not available"),
        ({"class_weight": {0: 0.0}}, X3, Y3, "class_weight must be positive"),
        ({"class_weight": {0: np.inf}}, X3, Y3, "class_weight must be finite"),
        ({"per_step": "no"}, X3, Y3, "per_step must be True or False"),
        ({"random_state": True}, X3, Y3, "random_state"),
        ({"random_state": 2**64}, X3, Y3, "random_state"),
        ({"device": "meta"}, X3, Y3, "device"),
        ({"beta": 10**400}, X3, Y3, "beta"),
        ({"beta": 1e-300}, X3, Y3, "beta .* too small"),
        ({"witnesses": Gaussian(dtype="float32")}, X3 * 1e60, Y3, "X drives membrane potentials beyond the range"),
        ({"per_step": True}, X3, 3, "y must hold the labels"),
    ],
)
def test_bad_input_names_the_argument(settings, X, y, message):
    with pytest.raises(ValueError, match=message):
        SpikingClassifier(**(SMALL | settings)).fit(X, y)


def test_bad_sample_weight_is_refused():
    with pytest.raises(ValueError, match="Sample weights must contain"):
        SpikingClassifier(**SMALL).fit(X3, Y3, sample_weight=np.zeros(10))
    with pytest.raises(ValueError, match="Negative values"):
        SpikingClassifier(**SMALL).fit(X3, Y3, sample_weight=-np.ones(10))
    with pytest.raises(ValueError, match="sample_weight leaves only one class"):
        SpikingClassifier(**SMALL).fit(X3, Y3, sample_weight=Y3)


def test_bad_regression_targets_are_refused():
    with pytest.raises(ValueError, match="X holds one sample"):
        SpikingRegressor(**SMALL).fit(X3[:1], [1.0])
    for y, message in [
        (["a"] * 10, "numeric"),
        ([np.nan] * 10, "NaN"),
        (np.zeros((10, 2, 2)), "shape"),
        (np.zeros(9), "inconsistent"),
        (np.ones(10) * 1j, "Complex"),
        (np.zeros((10, 0)), "at least one value"),
        (np.linspace(0, 1e-200, 10), "scale y"),
        (np.linspace(0, 1e200, 10), "scale y"),
    ]:
        with pytest.raises(ValueError, match=message):
            SpikingRegressor(**SMALL).fit(X3, y)
    with pytest.raises(ValueError, match="loss must be one of 'squared'"):
        SpikingRegressor(loss="hinge", **SMALL).fit(X3, np.zeros(10))


def test_a_fit_that_fails_leaves_an_unfitted_estimator():
    model = SpikingClassifier(**SMALL)
    for _ in range(2):
        with pytest.raises(ValueError, match="one class"):
            model.fit(X3, np.zeros(10))
        with pytest.raises(NotFittedError):
            model.predict(X3)
        model.fit(X3, Y3)


def test_prediction_checks_its_input():
    model = SpikingClassifier(**SMALL)
    with pytest.raises(NotFittedError):
        model.predict(X3)
    model.fit(X3, Y3)
    with pytest.raises(ValueError, match="X has 3 features, but SpikingClassifier is expecting 2"):
        model.predict(np.zeros((4, 5, 3)))
    with pytest.raises(ValueError, match="labels that were not seen"):
        model.problem(X3, Y3 + 1)


@pytest.mark.parametrize("loss", ["hinge", "squared", "logistic", "cross_entropy"])
@pytest.mark.parametrize("penalty", ["l1", "group"])
@pytest.mark.parametrize("beta", [1e-50, 1e-12, 1e12, 1e300])
def test_extreme_beta_gives_an_honest_certificate(loss, penalty, beta):
    X, drawn = bits(n=24)
    model = SpikingClassifier(loss=loss, penalty=penalty, beta=beta, **small(last=24))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, drawn[:, :2].sum(axis=1))
    warned = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    assert warned == (not model.certificate_.holds(1e-6))
    if beta > 1:
        assert model.certificate_.nonzeros == 0
        assert model.certificate_.relative_gap <= 1e-12
