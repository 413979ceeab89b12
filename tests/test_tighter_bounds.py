"""Tighter bounds of a network that is there: valid, better, kept with the model, and verified again."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from convexsnn import SpikingClassifier, SpikingRegressor
from convexsnn.cli.app import run
from convexsnn.storage import load_model, save_model
from convexsnn.verification import verify

SHAPE = {"witnesses": "gaussian", "depth": 2, "leak": 0.9, "hidden": 8, "last": 40, "random_state": 0}


def problem(n=10, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 2, 2))
    return X, (X[:, 0, 0] * X[:, 1, 1] > 0).astype(int)


def verified(model, X, y):
    return verify(model.trained_, model.certificate_, *model.training_rows(X, y), model.program_settings())


@pytest.mark.parametrize(
    "settings",
    [
        {"readout": "spike", "loss": "hinge"},
        {"readout": "membrane", "intercept": True, "class_weight": "balanced"},
        {"readout": "spike", "penalty": "group", "reset": "hard"},
        {"neuron": "threshold", "bias": True, "readout": "spike", "loss": "logistic"},
    ],
)
def test_the_bound_is_the_optimum_of_the_family(settings, tmp_path):
    """By enumeration it is what exact training reaches; it survives the file, and verification proves it again."""
    X, y = problem()
    model = SpikingClassifier(**(SHAPE | settings), beta=0.5).fit(X, y)
    before = model.certificate_
    universal = before.global_bound
    bound = model.tighten_bound(X, y)
    assert (bound.method, model.certificate_.scope) == ("arrangement", "dictionary")
    assert universal.value < bound.value <= before.primal * (1 + 1e-9)
    assert replace(model.certificate_, global_bound=universal) == before
    exact = SpikingClassifier(**(SHAPE | settings | {"witnesses": "exact"}), rho=before.rho).fit(X, y)
    assert bound.value == pytest.approx(exact.certificate_.dual, rel=1e-5)
    assert bound.value <= exact.certificate_.primal * (1 + 1e-9)
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert loaded.certificate_ == model.certificate_
    assert verified(loaded, X, y).holds
    # A claim that is a little too good is not proved again.
    lie = replace(bound, value=bound.value * (1 + 1e-6))
    assert not verify(
        loaded.trained_,
        loaded.certificate_.with_global_bound(lie),
        *loaded.training_rows(X, y),
        loaded.program_settings(),
    ).holds
    # Neither is the true bound without the dual vector that proves it, unless that of the fit does as well.
    without = replace(loaded.trained_, global_dual=0.0 * loaded.trained_.U)
    assert not verify(without, loaded.certificate_, *loaded.training_rows(X, y), loaded.program_settings()).holds


def test_mixed_integer_programs_lie_between_and_improve_with_time():
    X, y = problem(8)
    model = SpikingClassifier(**SHAPE, readout="spike", loss="hinge", beta=0.5).fit(X, y)
    universal = model.certificate_.global_bound.value
    priced = model.tighten_bound(X, y, method="pricing", time_limit=20.0)
    assert priced.method == "pricing"
    assert universal < priced.value
    assert verified(model, X, y).holds
    enumerated = model.tighten_bound(X, y)
    assert enumerated.value >= priced.value * (1 - 1e-6)
    # A bound that is no better leaves the one that is there.
    assert model.tighten_bound(X, y, method="pricing", time_limit=0.1) is model.certificate_.global_bound


def test_regressors_and_labels_a_step_have_it_too():
    X, _ = problem(8)
    regressor = SpikingRegressor(**SHAPE, readout="spike", beta=0.3).fit(X, X[:, 1, :])
    assert regressor.tighten_bound(X, X[:, 1, :]).value > 0.0
    steps = (X[:, :, 0] > 0).astype(int)
    classifier = SpikingClassifier(**SHAPE, readout="spike", per_step=True, beta=0.3).fit(X, steps)
    assert classifier.tighten_bound(X, steps).method == "arrangement"
    assert verified(classifier, X, steps).holds


@pytest.mark.parametrize(
    ("settings", "options", "reason"),
    [
        ({"depth": 3}, {}, "more than one hidden layer: only the universal bound"),
        ({"recurrent": True}, {}, "neurons feed one another"),
        ({"readout": "analog"}, {}, "analog readout"),
        ({"dtype": "float32"}, {}, "rounding gives patterns of its own"),
        ({}, {"limit": 10}, "limit = 10"),
        ({}, {"method": "guess"}, "method"),
        ({}, {"X": problem(7)}, "must be those that the network was trained on"),
    ],
)
def test_refusals_say_why_and_change_nothing(settings, options, reason):
    X, y = problem()
    model = SpikingClassifier(**(SHAPE | settings)).fit(X, y)
    before = model.certificate_
    X, y = options.pop("X", (X, y))
    with pytest.raises(ValueError, match=reason):
        model.tighten_bound(X, y, **options)
    assert model.certificate_ == before


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bound")
    X, y = problem()
    np.savez(folder / "data.npz", X=X, y=y)
    options = [
        "--depth",
        "2",
        "--readout",
        "spike",
        "--leak",
        "0.9",
        "--last",
        "40",
        "--loss",
        "hinge",
        "--beta",
        "0.5",
    ]
    assert run(["fit", "--data", str(folder / "data.npz"), *options, "--out", str(folder / "m")]) == 0
    return folder


def test_the_command_writes_a_better_bound_that_verifies(fitted, tmp_path, capsys):
    shutil.copytree(fitted / "m", tmp_path / "m")
    at = ["--model", str(tmp_path / "m"), "--data", str(fitted / "data.npz")]
    capsys.readouterr()
    assert run(["bound", *at, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["improved"]
    assert first["before"]["method"] == "universal"
    kept = json.loads((tmp_path / "m" / "certificate.json").read_text())["global_bound"]
    assert kept == first["bound"]
    assert (kept["method"], first["before"]["value"] < kept["value"]) == ("arrangement", True)
    assert run(["verify", *at]) == 0
    assert run(["verify", "--exact", *at]) == 0
    assert "not proved here" in capsys.readouterr().out.replace("\n", " ")
    assert run(["bound", *at, "--method", "pricing", "--seconds", "1"]) == 0
    printed = capsys.readouterr().out
    assert "no network is below" in printed
    assert "no better" in printed


def test_the_command_seals_nothing_that_was_changed(fitted, tmp_path, capsys):
    shutil.copytree(fitted / "m", tmp_path / "m")
    metrics = tmp_path / "m" / "metrics.json"
    metrics.write_text(metrics.read_text().replace('"accuracy": ', '"accuracy": 0.0'))
    at = ["--model", str(tmp_path / "m"), "--data", str(fitted / "data.npz")]
    sums = (tmp_path / "m" / "SHA256SUMS").read_text()
    assert run(["bound", *at]) == 2
    assert "metrics.json is not the file" in capsys.readouterr().err.replace("\n", " ")
    assert (tmp_path / "m" / "SHA256SUMS").read_text() == sums
    assert run(["bound", "--model", str(fitted / "m"), "--data", str(fitted / "data.npz"), "--limit", "5"]) == 2
    assert "limit = 5" in capsys.readouterr().err.replace("\n", " ")
