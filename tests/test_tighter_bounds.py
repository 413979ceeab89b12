"""Tighter bounds of a network that is there: valid, better, kept with the model, and verified again."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from convexsnn import Exact, Gaussian, SpikingClassifier, SpikingRegressor
from convexsnn.cli.app import run
from convexsnn.exact import ExactSettings
from convexsnn.storage import load_model, save_model
from convexsnn.verification import verify

SHAPE = Gaussian(depth=2, leak=0.9, last=40)
SPIKES = SHAPE.with_params(readout="spike")


def problem(n=10, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 2, 2))
    return X, (X[:, 0, 0] * X[:, 1, 1] > 0).astype(int)


def verified(model, X, y):
    return verify(model.trained_, model.certificate_, model.problem(X, y))


@pytest.mark.parametrize(
    ("neurons", "parameters"),
    [
        ({"readout": "spike"}, {"loss": "hinge"}),
        ({"readout": "membrane"}, {"intercept": True, "class_weight": "balanced"}),
        ({"readout": "spike", "reset": "hard"}, {"penalty": "group"}),
        ({"neuron": "threshold", "bias": True, "readout": "spike"}, {"loss": "logistic"}),
    ],
)
def test_the_bound_is_the_optimum_of_the_family(neurons, parameters, tmp_path):
    """By enumeration it is what exact training reaches; it survives the file, and verification proves it again."""
    X, y = problem()
    leak = {} if "neuron" in neurons else {"leak": 0.9}
    family = Gaussian(depth=2, last=40, **leak, **neurons)
    model = SpikingClassifier(witnesses=family, beta=0.5, random_state=0, **parameters).fit(X, y)
    before = model.certificate_
    universal = before.global_bound
    bound = model.tighten_bound(X, y)
    assert (bound.method, model.certificate_.scope) == ("arrangement", "dictionary")
    assert universal.value < bound.value <= before.primal * (1 + 1e-9)
    assert (model.certificate_.family_bound, model.certificate_.global_bound) == (bound, universal)
    assert model.certificate_.with_family_bound(None) == before
    everything = Exact(**leak, **neurons)
    exact = SpikingClassifier(witnesses=everything, rho=before.rho, **parameters).fit(X, y)
    assert bound.value == pytest.approx(exact.certificate_.dual, rel=1e-5)
    assert bound.value <= exact.certificate_.primal * (1 + 1e-9)
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert loaded.certificate_ == model.certificate_
    assert verified(loaded, X, y).holds
    # A claim that is a little too good is not proved again.
    lie = replace(bound, value=bound.value * (1 + 1e-6))
    assert not verify(loaded.trained_, loaded.certificate_.with_family_bound(lie), loaded.problem(X, y)).holds
    # Neither is the true bound without the dual vector that proves it, unless that of the fit does as well.
    without = replace(loaded.trained_, family_dual=0.0 * loaded.trained_.U)
    assert not verify(without, loaded.certificate_, loaded.problem(X, y)).holds


def test_mixed_integer_programs_lie_between_and_improve_with_time():
    X, y = problem(8)
    model = SpikingClassifier(witnesses=SPIKES, loss="hinge", beta=0.5, random_state=0).fit(X, y)
    universal = model.certificate_.global_bound.value
    priced = model.tighten_bound(X, y, ExactSettings("pricing", time_limit=20.0))
    assert priced.method == "pricing"
    assert universal < priced.value
    assert verified(model, X, y).holds
    enumerated = model.tighten_bound(X, y)
    assert enumerated.value >= priced.value * (1 - 1e-6)
    # A bound that is no better leaves the one that is there.
    kept = model.tighten_bound(X, y, ExactSettings("pricing", time_limit=0.1))
    assert kept is enumerated is model.certificate_.family_bound


def test_regressors_and_labels_a_step_have_it_too():
    X, _ = problem(8)
    regressor = SpikingRegressor(witnesses=SPIKES, beta=0.3, random_state=0).fit(X, X[:, 1, :])
    assert regressor.tighten_bound(X, X[:, 1, :]).value > 0.0
    steps = (X[:, :, 0] > 0).astype(int)
    classifier = SpikingClassifier(witnesses=SPIKES, per_step=True, beta=0.3, random_state=0).fit(X, steps)
    assert classifier.tighten_bound(X, steps).method == "arrangement"
    assert verified(classifier, X, steps).holds


@pytest.mark.parametrize(
    ("neurons", "data", "how", "reason"),
    [
        ({"depth": 3}, problem(), None, "more than one hidden layer"),
        ({"recurrent": True}, problem(), None, "neurons feed one another"),
        ({"readout": "analog"}, problem(), None, "analog readout"),
        ({"dtype": "float32"}, problem(), None, "rounding gives patterns of its own"),
        ({}, problem(), ExactSettings(max_patterns=10), "max_patterns = 10"),
        ({}, problem(7), None, "must be those that the network was trained on"),
    ],
)
def test_refusals_say_why_and_change_nothing(neurons, data, how, reason):
    model = SpikingClassifier(witnesses=SHAPE.with_params(**neurons), random_state=0).fit(*problem())
    before = model.certificate_
    with pytest.raises(ValueError, match=reason):
        model.tighten_bound(*data, how)
    assert model.certificate_ == before


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method must be one of 'arrangement', 'pricing', got 'guess'"):
        ExactSettings("guess")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bound")
    X, y = problem()
    np.savez(folder / "data.npz", X=X, y=y)
    options = ["--depth", "2", "--readout", "spike", "--leak", "0.9", "--last", "40"]
    options += ["--loss", "hinge", "--beta", "0.5"]
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
    kept = json.loads((tmp_path / "m" / "certificate.json").read_text())["family_bound"]
    assert kept == first["bound"]
    assert (kept["method"], first["before"]["value"] < kept["value"]) == ("arrangement", True)
    assert run(["verify", *at]) == 0
    assert run(["verify", "--exact", *at]) == 0
    assert "not proved here" in capsys.readouterr().out.replace("\n", " ")
    assert run(["bound", *at, "--method", "pricing", "--time-limit", "1"]) == 0
    printed = capsys.readouterr().out
    assert "gap to the best network of its family" in printed
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
    assert run(["bound", "--model", str(fitted / "m"), "--data", str(fitted / "data.npz"), "--max-patterns", "5"]) == 2
    assert "max_patterns = 5" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("method", ["arrangement", "pricing"])
def test_ctrl_c_ends_the_command_as_interrupted_and_changes_nothing(fitted, tmp_path, capsys, monkeypatch, method):
    folder = shutil.copytree(fitted / "m", tmp_path / "m")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    work = {
        "arrangement": "convexsnn.exact.bounding.enumerate_patterns_of",
        "pricing": "convexsnn.exact.rounds.exact_oracle",
    }
    monkeypatch.setattr(work[method], interrupt)
    at = ["--model", str(folder), "--data", str(fitted / "data.npz")]
    assert run(["bound", *at, "--method", method]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
