"""convexsnn quantise: a model of integer weights that verifies, and an honest account of neurons that keep theirs."""

import json

import numpy as np
import pytest
import torch

from convexsnn.cli.app import run
from convexsnn.simulation import simulate
from convexsnn.storage import load_model

ARGUMENTS = ["--depth", "3", "--last", "24", "--loss", "hinge", "--beta", "0.05"]


@pytest.fixture(
    scope="module",
    params=[[], ["--intercept", "--penalty", "group", "--beta", "0.5"]],
    ids=["plain", "intercept, betas"],
)
def fitted(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    random = np.random.default_rng(0)
    X = random.normal(size=(30, 4, 2))
    np.savez(folder / "data.npz", X=X, y=X[:, -1, 0] > 0)
    data = ["--data", str(folder / "data.npz")]
    assert run(["fit", *data, *ARGUMENTS, *request.param, "--out", str(folder / "model")]) == 0
    return folder, data


def test_the_quantised_model_has_integers_the_same_objective_and_verifies(fitted, tmp_path):
    folder, data = fitted
    out = tmp_path / "small"
    assert run(["quantise", "--model", str(folder / "model"), *data, "--bits", "10", "--out", str(out)]) == 0
    before, _ = load_model(folder / "model" / "model.safetensors")
    after, _ = load_model(out / "model.safetensors")
    account = json.loads((out / "quantised.json").read_text())
    assert account["complete"]
    assert account["quantised"] == before.network_.hidden.n_neurons
    for layer in after.network_.hidden.layers():
        assert torch.equal(layer.weight, layer.weight.round())
        assert float(layer.weight.abs().max()) < 2**9
    X = np.load(folder / "data.npz")["X"]
    sequences = before.sequences(X)
    old, new = (simulate(model.network_.hidden, sequences).features for model in (before, after))
    assert torch.equal(old, new)
    assert after.certificate_.primal == pytest.approx(before.certificate_.primal, rel=1e-12)
    assert after.certificate_.rho == before.certificate_.rho
    assert after.certificate_.scope == "dictionary"
    assert before.certificate_.support == after.certificate_.P
    assert after.certificate_.holds(1e-6)
    assert run(["verify", "--exact", "--model", str(out), *data]) == 0


def test_neurons_without_integers_are_listed_and_the_rest_is_right(fitted, tmp_path, capsys):
    folder, data = fitted
    out = tmp_path / "tiny"
    options = ["--model", str(folder / "model"), *data, "--bits", "2", "--effort", "0", "--out", str(out)]
    assert run(["quantise", *options]) == 1
    error = capsys.readouterr().err
    account = json.loads((out / "quantised.json").read_text())
    assert not account["complete"]
    assert f"{len(account['failed'])} neurons keep their real weights" in error
    assert ".".join(map(str, account["failed"][0])) in error
    assert account["quantised"] + len(account["failed"]) == account["neurons"]
    after, _ = load_model(out / "model.safetensors")
    branch, layer, neuron = account["failed"][0]
    weight = after.network_.hidden.branches[branch].layers[layer].weight[:, neuron]
    assert not torch.equal(weight, weight.round())
    assert run(["verify", "--model", str(out), *data]) == 0


def test_wrong_data_and_the_models_own_folder_are_refused(fitted, tmp_path, capsys):
    folder, data = fitted
    model = ["--model", str(folder / "model")]
    assert run(["quantise", *model, *data, "--out", str(folder / "model")]) == 2
    assert "other than the model's" in capsys.readouterr().err
    np.savez(tmp_path / "other.npz", X=np.zeros((30, 4, 2)), y=np.arange(30) % 2 == 0)
    assert run(["quantise", *model, "--data", str(tmp_path / "other.npz"), "--out", str(tmp_path / "x")]) == 2
    assert "SHA-256" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
