"""`convexsnn fit --members` and `--bypass`, and what the other commands make of such models."""

import json
import re

import numpy as np
import pytest

from convexsnn import SpikingRegressor
from convexsnn.cli.app import run
from convexsnn.closed_loop import FeedbackLoop, predict_closed_loop
from convexsnn.display import ColumnsDisplay
from convexsnn.storage import load_model

SMALL = ["--witnesses", "gaussian", "--last", "24"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    X = np.random.default_rng(0).normal(size=(40, 8, 2)).cumsum(axis=1)
    y = np.stack([X[:, -1, 0] + 30.0, np.abs(X[:, :, 1]).mean(axis=1)], axis=1)
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, X=X, y=y, X_test=X[:10], y_test=y[:10])
    return path


@pytest.fixture(scope="module")
def fitted(data):
    out = data.parent / "model"
    how = ["--regression", "--members", "2", "--bypass", "2", "--data", str(data), "--out", str(out)]
    assert run(["fit", *SMALL, *how]) == 0
    return out


def test_folder_of_a_mean_has_a_certificate_of_each_member(fitted, data, capsys):
    model, _ = load_model(fitted / "model.safetensors")
    stored = json.loads((fitted / "certificate.json").read_text())
    assert stored == {"members": [json.loads(member.certificate_.to_json()) for member in model.members_]}
    metrics = json.loads((fitted / "metrics.json").read_text())
    assert (metrics["members"], metrics["silent_neurons"]) == (2, 8)
    assert metrics["test"]["r2"] > 0.9
    assert "objective" not in metrics
    settings = (fitted / "settings.toml").read_text()
    assert "members = 2" in settings
    assert "bypass = 2" in settings
    assert run(["verify", "--model", str(fitted), "--data", str(data)]) == 0
    assert "the certificates of all members hold" in capsys.readouterr().out
    assert run(["verify", "--model", str(fitted), "--data", str(data), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["members"]) == 2


def test_commands_run_on_the_mean_or_say_what_does(fitted, data, tmp_path, capsys):
    assert run(["predict", "--model", str(fitted), "--data", str(data), "--out", str(tmp_path / "answers.npz")]) == 0
    model, _ = load_model(fitted / "model.safetensors")
    X = np.load(data)["X"]
    np.testing.assert_array_equal(np.load(tmp_path / "answers.npz")["prediction"], model.predict(X))
    assert run(["export", "--model", str(fitted), "--to", "torch", "--out", str(tmp_path / "net.safetensors")]) == 0
    capsys.readouterr()
    source = ["--model", str(fitted), "--data", str(data)]
    for command in (["verify", *source, "--exact"], ["bound", *source], ["quantise", *source, "--out", str(tmp_path)]):
        assert run(command) == 2
        assert "the mean of 2: ask members_[0]" in " ".join(capsys.readouterr().err.split())
    for options, words in (
        (["--bypass", "1"], "--bypass is for --regression"),
        (["--members", "0"], "members must be an integer of at least 1"),
    ):
        assert run(["fit", *SMALL, *options, "--data", str(data), "--out", str(tmp_path / "other")]) == 2
        assert words in " ".join(capsys.readouterr().err.split())


def test_other_content_of_the_folder_is_noticed(fitted, data, capsys):
    path = fitted / "certificate.json"
    before = path.read_text()
    path.write_text(before.replace('"primal"', '"dual"', 1))
    assert run(["verify", "--model", str(fitted), "--data", str(data)]) == 1
    assert "certificate.json" in capsys.readouterr().out
    path.write_text(before)


def test_page_of_a_mean_with_a_bypass(fitted, data):
    pytest.importorskip("matplotlib")
    assert run(["report", str(fitted), "--data", str(data)]) == 0
    page = (fitted / "report.html").read_text()
    assert "Checked for this page" in page
    assert "the mean of 2 fits, of which nothing is proved" in page
    assert "<dt>neurons that never spike</dt><dd>8, which pass the input on</dd>" in page
    assert len(re.findall("Training objective of member", page)) >= 2


def test_score_against_columns_counts_the_regression_beside(data):
    pytest.importorskip("matplotlib")
    arrays = np.load(data)
    model = SpikingRegressor(witnesses="gaussian", beta=0.1, bypass=2, random_state=0).fit(arrays["X"], arrays["y"])
    display = ColumnsDisplay.from_estimator(model, arrays["X"], arrays["y"])
    assert display.scores[-1] == pytest.approx(model.score(arrays["X"], arrays["y"]), abs=1e-9)
    assert "8 neurons" not in str(model.network_)
    assert "4 neurons, which pass the input on" in str(model.network_)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_mean_with_a_bypass_goes_on_in_closed_loop(outputs):
    X = np.sin(0.3 * np.arange(40.0)).reshape(1, 40, 1) * np.linspace(0.5, 1.5, 20)[:, None, None]
    y = np.concatenate([X[:, 1:]] * outputs, axis=2)
    y = y[:, :, 0] if outputs == 1 else y
    model = SpikingRegressor(witnesses="gaussian", beta=0.1, per_step=True, bypass=3, members=2, random_state=0)
    model.fit(X[:, :-1], y)
    answers = predict_closed_loop(model, X[:, :-1], FeedbackLoop(feature=0, warm_up=20))
    known = model.predict(X[:, :-1])
    np.testing.assert_allclose(answers[:, :20], known[:, :20], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(answers, y, atol=0.3)
