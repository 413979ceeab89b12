"""Witness families own their settings: scikit-learn's nested parameters, files and messages see them alike."""

import json
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from convexsnn import (
    Architecture,
    Exact,
    Gaussian,
    Heterogeneous,
    Reservoir,
    Search,
    SpikingClassifier,
    SpikingRegressor,
    Surrogate,
    gaussian,
)
from convexsnn.families import FAMILIES, Given, Mixture, family_from_dict, family_of
from convexsnn.storage import load_model, save_model
from helpers import generator

LAYERS = gaussian(Architecture(2, depth=2, branches=1, last=6), generator())
QUICK = {"rounds": 2, "width": 3, "population": 8, "generations": 2, "oracles": ("restarts", "refinement")}
# Each with settings that are not the usual ones.
CHANGED = [
    Search(depth=2, leak=0.9, recurrent=True, **QUICK, stages=(5.0, 1.0), max_columns=7),
    Gaussian(variant="orthogonal", last=30, neuron="threshold", bias=True, dtype="float32"),
    Heterogeneous(memory_range=(1.0, 3.0), bias_scale=0.0, readout="spike"),
    Reservoir(leak_grid=(0.5, 0.9), sample_size=20, reset="delayed"),
    Surrogate(epochs=3, batch_size=None, surrogate="triangle", patience=2, leak=0.5),
    Exact(method="arrangement", last=10, recurrent=True, readout="spike"),
    Given(layers=LAYERS),
    Gaussian(last=9) + Heterogeneous(gain_range=(0.5, 2.0)) + Gaussian(last=8),
    Gaussian(last=9) + Search(**QUICK),
    LAYERS + Search(**QUICK),
]
USUAL = [kind() for kind in FAMILIES.values()]
EVERY = pytest.mark.parametrize("family", CHANGED + USUAL, ids=repr)


def data(n=40):
    drawn = np.random.default_rng(0).integers(2, size=(n, 4))
    return np.eye(2)[drawn], drawn[:, 0] | drawn[:, -1]


@EVERY
def test_a_family_survives_json_and_pickle_and_is_compared_by_its_settings(family):
    plain = json.loads(json.dumps(family.to_dict()))
    assert family_from_dict(plain, family.given) == family
    assert pickle.loads(pickle.dumps(family)).to_dict() == family.to_dict()
    assert hash(family) == hash(family_from_dict(plain, family.given))
    assert sum(family == other for other in CHANGED + USUAL) == 1


@EVERY
def test_parameters_survive_a_round_trip_and_a_clone(family):
    model = SpikingClassifier(witnesses=family, beta=0.5)
    parameters = model.get_params()
    own = {f"witnesses__{name}": value for name, value in family.get_params().items()}
    assert {name: value for name, value in parameters.items() if name.startswith("witnesses__")} == own
    for other in (SpikingClassifier().set_params(**parameters), clone(model)):
        assert other.get_params() == parameters
        assert other.witnesses == family
    assert repr(family) in repr(model)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_name_stands_for_the_usual_settings(name):
    model = SpikingClassifier(witnesses=name)
    assert model.family == FAMILIES[name]() == family_of(name)
    assert SpikingClassifier().set_params(**model.get_params()).family == model.family
    assert clone(model).witnesses == name


@pytest.mark.parametrize("kind", [SpikingClassifier, SpikingRegressor])
def test_nested_settings_make_another_family_and_leave_the_first_alone(kind):
    first = Gaussian(last=40)
    model = kind(witnesses=first)
    assert model.set_params(witnesses__depth=3, witnesses__last=20) is model
    assert model.witnesses == Gaussian(depth=3, last=20)
    assert first == Gaussian(last=40)
    assert kind().set_params(witnesses__depth=3).witnesses == Search(depth=3)
    # A family that is set at the same time comes before its settings.
    assert kind().set_params(witnesses__depth=2, witnesses=Gaussian(last=5)).witnesses == Gaussian(depth=2, last=5)
    pipeline = make_pipeline(FunctionTransformer(), kind())
    pipeline.set_params(**{f"{kind.__name__.lower()}__witnesses__width": 5})
    assert pipeline[-1].witnesses == Search(width=5)


def test_nested_settings_of_a_mixture_are_those_of_its_parts():
    model = SpikingClassifier(witnesses=Gaussian() + Search())
    model.set_params(witnesses__gaussian__last=7, witnesses__search__depth=2)
    assert model.witnesses == Gaussian(last=7) + Search(depth=2)
    model.set_params(witnesses__gaussian__last=8, witnesses__gaussian=Heterogeneous())  # a part before its settings
    assert model.witnesses == Heterogeneous(last=8) + Search(depth=2)
    twice = SpikingClassifier(witnesses=Gaussian() + Gaussian() + Reservoir())
    twice.set_params(witnesses__gaussian_2__last=7)
    assert twice.witnesses == Gaussian() + Gaussian(last=7) + Reservoir()
    with pytest.raises(ValueError, match="parts of witnesses must be one of 'heterogeneous', 'search', got 'gaussian'"):
        model.set_params(witnesses__gaussian__last=7)


def test_grid_search_over_the_settings_of_a_family():
    X, y = data()
    grid = {"witnesses__effort": [1e4, 1e5], "witnesses__depth": [2]}
    found = GridSearchCV(SpikingClassifier(witnesses=Search(**QUICK), random_state=0), grid, cv=2).fit(X, y)
    assert found.best_estimator_.witnesses.effort == found.best_params_["witnesses__effort"]
    assert found.best_estimator_.witnesses.depth == 2
    assert np.isfinite(found.cv_results_["mean_test_score"]).all()


def test_grid_search_over_the_settings_of_a_mixture():
    X, y = data()
    mixture = Gaussian(hidden=4, last=2) + Heterogeneous(hidden=4, last=2)
    grid = {"witnesses__gaussian__last": np.array([2, 40])}
    found = GridSearchCV(SpikingClassifier(witnesses=mixture, random_state=0, beta=0.01), grid, cv=2).fit(X, y)
    best = found.best_estimator_
    assert best.witnesses.parts[0].last == found.best_params_["witnesses__gaussian__last"]
    assert best.trained_.witnesses.n_last == best.witnesses.parts[0].last + 2


@EVERY
def test_the_html_of_an_estimator_shows_its_family(family):
    shown = SpikingClassifier(witnesses=family)._repr_html_()
    assert type(family.parts[0] if isinstance(family, Mixture) else family).__name__ in shown


@EVERY
def test_a_setting_that_a_family_lacks_is_refused_by_name(family):
    with pytest.raises(ValueError, match="'dept'"):
        family_from_dict(family.to_dict() | {"dept": 2}, family.given)
    with pytest.raises(ValueError, match="'dept'"):
        family.with_params(dept=2)
    with pytest.raises(ValueError, match="'dept'"):
        SpikingClassifier(witnesses=family).set_params(witnesses__dept=2)
    with pytest.raises(TypeError, match="dept"):
        type(family)(**family.get_params(deep=False), dept=2)
    with pytest.raises(ValueError, match=r"parameters of SpikingClassifier must be one of .*, got 'depth'"):
        SpikingClassifier(witnesses=family).set_params(depth=2)


def test_numbers_of_numpy_are_kept_in_files(tmp_path):
    X, y = data()
    family = Gaussian(depth=np.int64(2), last=np.int32(20), leak=np.float32(0.5), bias=np.bool_(True))
    model = SpikingClassifier(witnesses=family, random_state=0).fit(X, y)
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert loaded.witnesses == family
    assert (
        Reservoir(leak_grid=[0.5, 0.9]) == Reservoir(leak_grid=np.array([0.5, 0.9])) == Reservoir(leak_grid=(0.5, 0.9))
    )
    assert Heterogeneous(memory_range=[1, 2]) == Heterogeneous(memory_range=(1.0, 2.0))


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize(
    "family",
    [
        LAYERS + Gaussian(depth=2, last=5),
        Gaussian(depth=2, last=5) + LAYERS,
        LAYERS + Search(**QUICK),
        Given(layers=LAYERS),
    ],
    ids=["first", "last", "before a search", "alone"],
)
def test_files_keep_the_layers_that_were_given(family, intercept, tmp_path):
    X, y = data()
    model = SpikingClassifier(witnesses=family, intercept=intercept, random_state=0, beta=0.01).fit(X, y)
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert [layers.equals(LAYERS) for layers in loaded.family.given] == [True]
    again = clone(loaded).fit(X, y)
    assert again.trained_.witnesses.equals(model.trained_.witnesses)
    assert np.array_equal(again.decision_function(X), model.decision_function(X))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Gaussian, {"depth": 1}, "depth must be an integer of at least 2"),
        (Gaussian, {"last": 0}, "last must be"),
        (Gaussian, {"hidden": 3, "branches": 4}, "hidden"),
        (Gaussian, {"recurrent": "no"}, "recurrent must be True or False"),
        (Gaussian, {"variant": "othogonal"}, "variant must be one of .* Did you mean 'orthogonal'"),
        (Gaussian, {"neuron": "lfi"}, "neuron must be one of .* Did you mean 'lif'"),
        (Gaussian, {"leak": 1.5}, "leak must be"),
        (Gaussian, {"depth": 2, "hidden": 20}, "hidden has no effect with depth=2"),
        (Heterogeneous, {"memory_range": (2.0, 1.0)}, "memory_range must be a pair"),
        (Heterogeneous, {"gain_range": 1.0}, "gain_range must be a pair"),
        (Heterogeneous, {"threshold_range": "12"}, "threshold_range must be a pair"),
        (Heterogeneous, {"bias_scale": -1.0}, "bias_scale must be at least 0"),
        (Reservoir, {"leak_grid": (1.5,)}, "leak_grid must be at least 0 and at most 1"),
        (Reservoir, {"threshold_grid": ()}, "threshold_grid must hold at least one number"),
        (Reservoir, {"scale_grid": (0.0,)}, "scale_grid must be more than 0"),
        (Reservoir, {"sample_size": 0}, "sample_size"),
        (Surrogate, {"epochs": 0}, "epochs"),
        (Surrogate, {"dropout": 1.0}, "dropout must be less than 1"),
        (Exact, {"method": "all"}, "method must be one of"),
        (Exact, {"readout": "analog"}, "readout must be one of 'spike', 'membrane'"),
        *[
            (kind, {"neuron": "threshold", name: value}, f"{name} has no effect on neuron='threshold': leave it out")
            for name, value in (("leak", 0.5), ("threshold", 2.0), ("reset", "hard"))
            for kind in (Search, Gaussian, Surrogate, Exact)
        ],
        (Search, {"oracles": ("restarts",), "block": 8}, "block has no effect without the oracle 'ascent'"),
        (Search, {"oracles": ("crossing",), "dropout": 0.1}, "dropout has no effect without the oracle 'ascent'"),
        (Search, {"attempts": 1, "jury": 5}, "jury has no effect with attempts=1"),
        (Exact, {"method": "pricing", "max_patterns": 10}, "max_patterns has no effect on method='pricing'"),
        (Heterogeneous, {"neuron": "threshold", "memory_range": (1.0, 2.0)}, "memory_range has no effect on neuron"),
        (Surrogate, {"neuron": "threshold", "learn_threshold": True}, "learn_threshold has no effect on neuron"),
    ],
)
def test_a_bad_setting_is_refused_when_it_is_given(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)
    with pytest.raises(ValueError, match=message):
        kind().with_params(**settings)


@pytest.mark.parametrize(
    ("join", "message"),
    [
        (lambda: Gaussian(readout="spike") + Search(), r"must have the same readout, got \['spike', 'membrane'\]"),
        (lambda: Gaussian(dtype="float32") + Surrogate(), r"must have the same dtype, got \['float32', 'float64'\]"),
        (lambda: LAYERS + Gaussian(readout="analog"), r"must have the same readout, got \['membrane', 'analog'\]"),
        (lambda: Search() + Gaussian(), "once and last"),
        (lambda: Search() + Search(), "once and last"),
        (lambda: Gaussian() + Exact(), "witnesses='exact' must stand alone"),
        (lambda: Gaussian() + 3, "witnesses must be the name of a family, a family .* or hidden layers .*, not 3"),
        (lambda: Gaussian() + "gausian", "Did you mean 'gaussian'"),
    ],
)
def test_families_that_do_not_go_together_are_refused_when_they_are_joined(join, message):
    with pytest.raises(ValueError, match=message):
        join()


def test_joining_is_flat_and_takes_names_and_layers():
    three = Gaussian() + (Heterogeneous() + Search())
    assert three == (Gaussian() + Heterogeneous()) + "search" == family_of("gaussian + heterogeneous+search")
    assert three.parts == (Gaussian(), Heterogeneous(), Search())
    assert "gaussian" + Search() == Gaussian() + Search()
    assert (LAYERS + Search()).given == (LAYERS,)
    assert three.searches
    assert not (Gaussian() + Reservoir()).searches
    assert (three.n_last, (Gaussian(last=3) + Reservoir(last=4)).n_last) == (512, 7)
