"""What "auto" stands for: it depends on the data alone, and what is given by name stays."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from convexsnn import Kernels, Search, SpikingClassifier, SpikingRegressor
from convexsnn.families import Gaussian
from convexsnn.storage import describe_parameters, load_model, save_model

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(30, 12, 2))
BITS = RNG.integers(2, size=(30, 12, 2)).astype(float)
y = np.arange(30) % 2


@pytest.mark.parametrize(
    ("X", "family"),
    [
        (REAL, Kernels),
        (list(REAL), Kernels),
        (np.rint(4 * REAL), Kernels),
        (BITS, Search),
        (2 * BITS - 1, Search),
        (3.5 * BITS + [1.0, 200.0], Search),
        (REAL[:, :7], Search),
        (REAL[:, 0], Search),
    ],
)
def test_the_family_depends_on_the_data(X, family):
    recipe = SpikingClassifier().recipe_for(X)
    assert isinstance(recipe.witnesses, family)
    kernels = family is Kernels
    expected = ("squared", "ridge", "path", 1000) if kernels else ("cross_entropy", "l1", 0.1, None)
    assert (recipe.loss, recipe.penalty, recipe.beta, recipe.columns) == expected


def test_the_choice_is_told_where_something_was_left_open(capsys):
    SpikingClassifier(witnesses=Kernels(last=40), random_state=0, verbose=True).fit(REAL, y)
    told = "chosen by the data: kernels, squared loss, ridge penalty, several betas, at most 1000 columns"
    assert told in " ".join(capsys.readouterr().err.split())
    named = {"loss": "squared", "penalty": "ridge", "beta": 1.0}
    SpikingClassifier(witnesses=Kernels(last=40), **named, random_state=0, verbose=True).fit(REAL, y)
    assert "chosen by" not in capsys.readouterr().err


def test_many_sequences_choose_their_windows_and_may_read_more_columns():
    steps = np.arange(10) / 10.0
    phase = RNG.random((2000, 1))
    X = np.sin(2.0 * np.pi * (steps + phase))[:, :, None] + 0.1 * RNG.normal(size=(2000, 10, 1))
    labels = (phase[:, 0] > 0.5).astype(int)
    recipe = SpikingClassifier().recipe_for(X)
    assert recipe.witnesses == Kernels(choose_windows=True)
    assert recipe.columns == 1000
    elastic = SpikingClassifier(penalty="elastic").recipe_for(X)
    assert elastic.witnesses == Kernels()
    few = SpikingClassifier(witnesses=Kernels(last=100, choose_windows=True), columns=50, random_state=0)
    model = few.fit(X[:300], labels[:300])
    # When a neuron fires says in which half of the wave the sequence begins; how often says less.
    assert model.recipe.witnesses == Kernels(last=40, windows=(4,))
    assert model.certificate_.support <= 50
    assert few.witnesses == Kernels(last=100, choose_windows=True)
    again = clone(few).fit(X[:300], labels[:300])
    assert again.network_.equals(model.network_)


def test_the_choice_of_windows_does_not_depend_on_the_loss():
    steps, phase = np.arange(10) / 10.0, np.random.default_rng(1).random((300, 1))
    X = np.sin(2.0 * np.pi * (steps + phase))[:, :, None]
    labels = (phase[:, 0] > 0.5).astype(int)
    family = Kernels(last=50, choose_windows=True)
    for loss, penalty in (("squared", "ridge"), ("logistic", "l1"), ("cross_entropy", "l1")):
        model = SpikingClassifier(witnesses=family, loss=loss, penalty=penalty, beta=1.0, random_state=0)
        assert model.fit(X, labels).recipe.witnesses == Kernels(last=20, windows=(4,))


def test_windows_are_chosen_by_errors_on_sequences_that_are_left_out():
    labels = np.repeat(y[:, None], REAL.shape[1], axis=1)
    with pytest.raises(ValueError, match="choose_windows compares errors on sequences that are left out"):
        SpikingClassifier(witnesses=Kernels(last=20, choose_windows=True), per_step=True).fit(REAL, labels)
    with pytest.raises(ValueError, match="windows has no effect with choose_windows"):
        Kernels(windows=(2,), choose_windows=True)


@pytest.mark.parametrize(
    ("settings", "family", "expected"),
    [
        ({"witnesses": "search"}, Search, ("cross_entropy", "l1", 0.1, None)),
        ({"witnesses": Gaussian()}, Gaussian, ("cross_entropy", "l1", 0.1, None)),
        ({"witnesses": "kernels"}, Kernels, ("squared", "ridge", "path", 1000)),
        ({"columns": 60}, Kernels, ("squared", "ridge", "path", 60)),
        ({"beta": 0.5}, Kernels, ("squared", "ridge", 0.5, 1000)),
        ({"rho": 0.5}, Kernels, ("squared", "ridge", 0.1, 1000)),
        ({"penalty": "ridge"}, Kernels, ("squared", "ridge", "path", None)),
        ({"penalty": "elastic"}, Kernels, ("squared", "elastic", "path", None)),
        ({"penalty": "l1"}, Search, ("cross_entropy", "l1", 0.1, None)),
        ({"loss": "hinge"}, Search, ("hinge", "l1", 0.1, None)),
        ({"witnesses": "kernels", "loss": "logistic"}, Kernels, ("logistic", "l1", 0.1, None)),
        ({"per_step": True}, Search, ("cross_entropy", "l1", 0.1, None)),
    ],
)
def test_what_is_given_stays(settings, family, expected):
    recipe = SpikingClassifier(**settings).recipe_for(REAL)
    assert isinstance(recipe.witnesses, family)
    assert (recipe.loss, recipe.penalty, recipe.beta, recipe.columns) == expected


def test_a_fit_says_what_was_chosen_and_files_keep_it(tmp_path):
    model = SpikingClassifier(random_state=0)
    assert isinstance(model.recipe.witnesses, Search)
    model.fit(REAL, y)
    assert model.recipe == SpikingClassifier().recipe_for(REAL)
    assert model.get_params()["witnesses"] == "auto"
    assert describe_parameters(model)["penalty"] == "ridge"
    save_model(model, tmp_path / "model")
    again, _ = load_model(tmp_path / "model")
    assert (again.witnesses, again.loss, again.penalty, again.beta) == (Kernels(), "squared", "ridge", "path")
    assert again.recipe == model.recipe
    assert np.array_equal(again.predict(REAL), model.predict(REAL))
    assert not hasattr(model, "predict_proba")
    assert hasattr(clone(model), "predict_proba")


def test_the_regressor_chooses_too():
    model = SpikingRegressor(columns=40, random_state=0).fit(REAL, REAL[:, -1, 0])
    assert model.certificate_.support <= 40
    assert model.certificate_.penalty == "ridge"


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="settings of witnesses='search'"):
        SpikingClassifier().set_params(witnesses__dept=3)
    for name in ("penalty", "loss", "witnesses", "beta"):
        with pytest.raises(ValueError, match=name):
            SpikingClassifier(**{name: "best"}).fit(REAL, y)
