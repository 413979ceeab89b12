"""The command line, end to end in one process, and once as a real process."""

import errno
import json
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from convexsnn import as_sequences, build_dictionary
from convexsnn.cli.app import run
from convexsnn.export import from_nir, to_torch
from convexsnn.storage import load_model, save_model
from convexsnn.tasks import TaskSettings, load_task
from helpers import interrupt_run, reseal

SMALL = ["--witnesses", "gaussian", "--last", "48", "--depth", "2"]
XOR = ["--task", "first-last-xor", "--timesteps", "4", "--n-train", "60", "--n-val", "20", "--n-test", "30"]


def fit(out, *arguments):
    return run(["fit", *arguments, *SMALL, "--out", str(out)])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted") / "model"
    assert fit(folder, *XOR, "--loss", "hinge", "--beta", "0.01") == 0
    return folder


@pytest.fixture
def trained(fitted, tmp_path):
    """A copy of its own for each test, which may alter it."""
    return shutil.copytree(fitted, tmp_path / "model")


def test_fit_writes_files_that_agree(trained):
    assert sorted(p.name for p in trained.iterdir()) == [
        "SHA256SUMS",
        "certificate.json",
        "metrics.json",
        "model.safetensors",
        "settings.toml",
    ]
    certificate = json.loads((trained / "certificate.json").read_text())
    metrics = json.loads((trained / "metrics.json").read_text())
    assert certificate["relative_gap"] <= 1e-6
    assert certificate["primal"] == metrics["objective"]
    assert (certificate["loss"], certificate["n"], certificate["scope"]) == ("hinge", 60, "dictionary")
    assert metrics["n"] == {"train": 60, "val": 20, "test": 30}
    assert 0 <= metrics["unseen_share"] <= 1
    assert 1 - metrics["test"]["accuracy"] < metrics["test_error_bound"] <= 1
    assert metrics["train"]["accuracy"] > 0.8
    assert metrics["spikes_per_inference"] > 0
    assert metrics["dense_operations"] >= metrics["effective_acs"] + metrics["effective_macs"] > 0
    assert 0 <= metrics["activation_sparsity"] <= 1
    assert metrics["certified"] is True


def test_verify_accepts_what_fit_wrote(trained, capsys):
    assert run(["verify", "--model", str(trained), "--task", "first-last-xor"]) == 0
    assert "the certificate holds" in capsys.readouterr().out
    assert run(["verify", "--model", str(trained), "--task", "first-last-xor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []


def alter_header(folder, change):
    """Rewrite the JSON header of the model file."""
    reseal(folder / "model.safetensors", lambda header, _: change(header))


def alter_certificate(folder, **changes):
    """Change the certificate both beside and inside the model file, consistently."""
    path = folder / "certificate.json"
    fields = json.loads(path.read_text()) | changes
    fields["gap"] = fields["primal"] - fields["dual"]
    fields["relative_gap"] = fields["gap"] / abs(fields["primal"])
    path.write_text(json.dumps(fields))
    alter_header(folder, lambda header: header.update(certificate=fields))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"primal": 0.9}, "claims objective"),
        ({"dual": 1.0}, "claims lower bound"),
        ({"rho": 1e-5}, "rho"),
        ({"n": 61}, "n = 61"),
        ({"support": 1}, "support = 1"),
        ({"spike_margin": 1.0}, "spike margin"),
        ({"scope": "global"}, "scope = 'global'"),
        ({"loss": "squared"}, "loss = 'squared'"),
    ],
)
def test_verify_refuses_a_claim_that_does_not_hold(trained, capsys, changes, reason):
    alter_certificate(trained, **changes)
    assert run(["verify", "--model", str(trained), "--task", "first-last-xor"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "does not hold" in printed
    assert reason in printed


def alter_tensor(folder, name, change):
    reseal(folder / "model.safetensors", lambda _, tensors: tensors.update({name: change(tensors[name])}))


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("W", lambda W: 1.1 * W, "claims objective"),
        ("W", lambda W: torch.full_like(W, 1e308), "claims objective"),
        ("W", lambda W: torch.full_like(W, torch.inf), "tensor W must be finite"),
        ("W", lambda W: W.to(torch.float32), "tensor W must be torch.float64"),
        ("U", lambda U: torch.full_like(U, torch.nan), "tensor U must be finite"),
        ("row_weights", lambda w: 2.0 * w, "sum to one"),
        ("row_weights", lambda w: torch.full_like(w, torch.inf), "row_weights must be finite"),
        ("network.0.0.weight", lambda w: w + 1.0, "not the one that the stored witnesses and W give"),
        ("network.0.0.threshold", torch.zeros_like, "not the one that the stored witnesses and W give"),
        ("U", lambda U: 0.9 * U, "claims lower bound"),
        ("U", lambda U: U[1:], "tensor row_weights must be torch.float64 of shape (59,)"),
        ("network.W", lambda W: -W, "the stored network, run anew"),
        ("witnesses.0.0.weight", lambda w: torch.flip(w, [0]), "recomputed"),
        ("row_weights", torch.zeros_like, "row_weights must be positive"),
    ],
)
def test_verify_recomputes_everything_from_the_tensors(trained, capsys, name, change, reason):
    alter_tensor(trained, name, change)
    assert run(["verify", "--model", str(trained), "--task", "first-last-xor"]) == 1
    assert reason in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", ["gap", "relative_gap"])
def test_verify_refuses_a_gap_that_does_not_follow(trained, capsys, name):
    path = trained / "certificate.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: 0.0}))
    assert run(["verify", "--model", str(trained), "--task", "first-last-xor"]) == 1
    assert "certificate.json is not the certificate in model.safetensors" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.update(extra=None),
        lambda h: h["extra"].update(source=None),
        lambda h: h["extra"]["source"].update(settings=None),
        lambda h: h["extra"]["source"]["settings"].update(n_train=-1),
        lambda h: h.update(data_digest="0" * 64),
        lambda h: h["parameters"].update(witnesses="gaussian"),
        lambda h: h["parameters"]["witnesses"].update(family="mixture"),
        lambda h: h["parameters"]["witnesses"].update(family="gausian"),
        lambda h: h["parameters"]["witnesses"].update(width=5),
        lambda h: h["parameters"]["witnesses"].update(depth=5),
        lambda h: h["parameters"]["witnesses"].update(leak=0.5),
        lambda h: h["parameters"]["witnesses"].update(reset="hard"),
        lambda h: h["parameters"].update(loss="mse"),
        lambda h: h["parameters"].update(beta="x"),
        lambda h: h["parameters"].update(beta=0.02),
        lambda h: h["parameters"].update(per_step=True),
        lambda h: h["parameters"].update(intercept="no"),
        lambda h: h["network"].update(readout="spike"),
        lambda h: h["network"]["branches"][0][0].update(reset="hard"),
        lambda h: h["network"]["branches"][0][0].update(kind="exotic"),
        lambda h: h["fitted"].update(classes=[1, 0]),
        lambda h: h["certificate"].update(spike_margin="x"),
        lambda h: h["certificate"].update(loss=5),
        lambda h: h["certificate"].update(primal=None),
        lambda h: h.update(format=0),
    ],
)
def test_verify_refuses_every_tampered_header(trained, capsys, change):
    alter_header(trained, change)
    assert run(["verify", "--model", str(trained), "--task", "first-last-xor"]) == 1
    assert "does not hold" in capsys.readouterr().out


def test_verify_refuses_weights_on_neurons_without_a_column(trained, capsys):
    header = {}
    alter_header(trained, header.update)
    estimator, _ = load_model(trained / "model.safetensors")
    sequences = as_sequences(load_task("first-last-xor", TaskSettings(60, 20, 30, 4)).train.X)
    neurons = build_dictionary(estimator.trained_.witnesses, sequences).neuron_of.tolist()
    spare = next(i for i in range(48) if i not in neurons)
    alter_tensor(trained, "W", lambda W: W.index_fill(0, torch.tensor([spare]), 1.0))
    assert run(["verify", "--model", str(trained), "--task", "first-last-xor"]) == 1
    capsys.readouterr()


def test_verify_on_the_wrong_data_or_files(trained, tmp_path, capsys):
    def reason(*arguments):
        assert run(["verify", "--model", str(trained), *arguments]) == 1
        return " ".join(capsys.readouterr().out.split())

    assert "trained on first-last-xor, not on task digits" in reason("--task", "digits")
    np.savez(tmp_path / "d.npz", X=np.ones((60, 4, 2)), y=np.arange(60) % 2)
    assert "are not those the model was trained on" in reason("--data", str(tmp_path / "d.npz"))
    (trained / "certificate.json").write_text("{}")
    assert "certificate.json is not the certificate" in reason("--task", "first-last-xor")
    (trained / "model.safetensors").write_bytes(b"truncated")
    assert "truncated" in reason("--task", "first-last-xor")


def save_data(path, **arrays):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3, 2))
    np.savez(path, **({"X": X, "y": np.where(X[:, -1, 0] > 0, "up", "down")} | arrays))
    return ["--data", str(path)]


def test_fit_predict_and_verify_on_a_file(tmp_path):
    rng = np.random.default_rng(1)
    data = save_data(tmp_path / "d.npz", X_test=rng.normal(size=(9, 3, 2)), y_test=np.array(["up"] * 9))
    assert fit(tmp_path / "m", *data) == 0
    assert "test" in json.loads((tmp_path / "m" / "metrics.json").read_text())
    assert run(["verify", "--model", str(tmp_path / "m"), *data]) == 0
    assert run(["predict", "--model", str(tmp_path / "m"), *data, "--out", str(tmp_path / "p.npz")]) == 0
    with np.load(tmp_path / "p.npz", allow_pickle=False) as written:
        assert set(written["prediction"]) <= {"up", "down"}
        assert written["probabilities"].shape == (50, 2)
        assert written["scores"].shape == (50,)


def test_lengths_and_per_step_labels(tmp_path):
    lengths = np.arange(50) % 3 + 1
    y = np.random.default_rng(0).integers(2, size=(50, 3))
    data = save_data(tmp_path / "d.npz", y=y, lengths=lengths)
    assert fit(tmp_path / "m", *data, "--per-step") == 0
    metrics = json.loads((tmp_path / "m" / "metrics.json").read_text())
    assert json.loads((tmp_path / "m" / "certificate.json").read_text())["n"] == lengths.sum()
    assert metrics["train"]["sequence_accuracy"] <= metrics["train"]["accuracy"]
    assert run(["verify", "--model", str(tmp_path / "m"), *data]) == 0
    assert run(["predict", "--model", str(tmp_path / "m"), *data, "--out", str(tmp_path / "p.npz")]) == 0
    with np.load(tmp_path / "p.npz") as written:
        assert written["prediction"].shape == (lengths.sum(),)
        assert np.array_equal(written["lengths"], lengths)


def test_regression_and_two_dimensional_input(tmp_path):
    X = np.random.default_rng(0).normal(size=(50, 2))
    data = save_data(tmp_path / "d.npz", X=X, y=X[:, 0])
    assert fit(tmp_path / "m", *data, "--regression", "--timesteps", "3", "--beta", "0.01") == 0
    assert json.loads((tmp_path / "m" / "metrics.json").read_text())["train"]["r2"] > 0.5
    assert run(["verify", "--model", str(tmp_path / "m"), *data]) == 0


def test_a_column_of_labels_is_scored_like_a_row(tmp_path):
    X = np.random.default_rng(0).normal(size=(50, 3, 2))
    y = (X[:, -1, 0] > 0).astype(int)
    scores = []
    for name, labels in (("flat", y), ("column", y[:, None])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert fit(tmp_path / name, *save_data(tmp_path / "d.npz", X=X, y=labels, X_test=X, y_test=labels)) == 0
        scores.append(json.loads((tmp_path / name / "metrics.json").read_text())["test"])
    assert scores[0] == scores[1]


def test_an_undefined_r2_is_left_out(tmp_path, capsys):
    X = np.random.default_rng(0).normal(size=(20, 2))
    data = save_data(tmp_path / "d.npz", X=X, y=X[:, 0], X_test=X[:1], y_test=X[:1, 0])
    assert fit(tmp_path / "m", *data, "--regression", "--json") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["test"] == {}


@pytest.mark.parametrize("beta", [["--beta", "0.01", "--beta", "1"], ["--beta", "path"]])
def test_several_betas_on_a_validation_split(tmp_path, capsys, beta):
    out = tmp_path / "m"
    assert fit(out, *XOR, "--loss", "hinge", *beta) == 0
    printed = capsys.readouterr().out
    assert "Path" in printed
    assert printed.count("picked") == 1
    path, metrics = (json.loads((out / f"{name}.json").read_text()) for name in ("path", "metrics"))
    assert len(path["points"]) == (20 if "path" in beta else 2)
    assert path["retrained_on_all"] is False
    (picked,) = (point for point in path["points"] if point["picked"])
    assert picked["beta"] == path["beta"] == metrics["beta"]
    assert picked["validation_score"] == metrics["val"]["accuracy"]
    assert picked["validation_score"] == max(point["validation_score"] for point in path["points"])
    assert picked["certificate"] == json.loads((out / "certificate.json").read_text())
    assert run(["verify", "--model", str(out), "--task", "first-last-xor"]) == 0
    # A later fit of one beta into the same folder leaves no path that is not its own.
    assert fit(out, *XOR) == 2
    assert "holds another model, trained on first-last-xor" in " ".join(capsys.readouterr().err.split())
    assert fit(out, *XOR, "--force") == 0
    assert not (out / "path.json").exists()


def test_several_betas_without_a_validation_split(tmp_path, capsys, monkeypatch):
    out, data = tmp_path / "folds", save_data(tmp_path / "d.npz")
    assert fit(out, *data, "--beta", "1", "--beta", "0.1", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["path"]["retrained_on_all"] is False
    assert {point["certificate"]["n"] for point in report["path"]["points"]} == {50}
    assert run(["verify", "--model", str(out), *data]) == 0
    capsys.readouterr()
    monkeypatch.setattr("convexsnn.fitting.FEW_SEQUENCES", 10)
    out, data = tmp_path / "m", save_data(tmp_path / "d.npz")
    assert fit(out, *data, "--beta", "1", "--beta", "0.1", "--validation-fraction", "0.3", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["path"] == json.loads((out / "path.json").read_text())
    assert report["path"]["retrained_on_all"] is True
    assert {point["certificate"]["n"] for point in report["path"]["points"]} == {35}
    assert report["certificate"]["n"] == 50
    assert run(["verify", "--model", str(out), *data]) == 0


def test_verify_refuses_another_picked_beta(tmp_path, capsys):
    out = tmp_path / "m"
    assert fit(out, *XOR, "--beta", "0.1", "--beta", "0.01") == 0
    beta = json.loads((out / "path.json").read_text())["beta"]
    alter_header(out, lambda header: header["fitted"].update(beta={0.1: 0.01, 0.01: 0.1}[beta]))
    assert run(["verify", "--model", str(out), "--task", "first-last-xor"]) == 1
    assert "rho" in capsys.readouterr().out


def test_ctrl_c_on_the_path_exits_with_130_and_keeps_the_best_so_far(tmp_path, capsys, monkeypatch):
    interrupt_run(monkeypatch, 3)
    assert fit(tmp_path / "m", *XOR, "--beta", "path") == 130
    assert "the best network so far" in capsys.readouterr().err
    points = json.loads((tmp_path / "m" / "path.json").read_text())["points"]
    assert [point["status"] for point in points] == ["CONVERGED", "CONVERGED", "INTERRUPTED"]
    assert run(["verify", "--model", str(tmp_path / "m"), "--task", "first-last-xor"]) == 0


def test_timesteps_of_a_file_go_with_a_two_dimensional_x(tmp_path, capsys):
    assert fit(tmp_path / "m", *save_data(tmp_path / "d.npz"), "--timesteps", "3") == 2
    assert "2-D X" in capsys.readouterr().err


def test_ctrl_c_is_said_and_exits_with_130(tmp_path, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("convexsnn.problem.build_dictionary", interrupt)
        assert fit(tmp_path / "m", *XOR) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
    interrupt_run(monkeypatch, 1)
    assert fit(tmp_path / "m", *XOR) == 130
    assert "the best network so far" in capsys.readouterr().err
    assert json.loads((tmp_path / "m" / "metrics.json").read_text())["status"] == "INTERRUPTED"


def test_bad_validation_labels_do_not_lose_the_network(tmp_path, capsys):
    data = save_data(tmp_path / "d.npz", X_val=np.zeros((3, 3, 2)), y_val=np.full(3, np.nan))
    assert fit(tmp_path / "m", *data) == 2
    assert "y contains NaN" in capsys.readouterr().err
    assert run(["verify", "--model", str(tmp_path / "m"), *data]) == 0


def test_per_step_task(tmp_path):
    assert fit(tmp_path / "m", "--task", "addition", "--n-train", "40", "--n-val", "10", "--n-test", "10") == 0
    assert run(["verify", "--model", str(tmp_path / "m"), "--task", "addition"]) == 0


ADDITION = ["--task", "addition", "--n-train", "60", "--n-val", "10", "--n-test", "20", "--beta", "0.01"]


def test_factored_task_in_closed_loop(tmp_path, capsys):
    out = tmp_path / "m"
    assert fit(out, *ADDITION, "--factored", "--output-weights", "1", "--output-weights", "2", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["certificate"]["heads"] == [[2, 1.0], [2, 2.0]]
    metrics = report["metrics"]
    names = {"accuracy", "sequence_accuracy", "accuracy_output_0", "accuracy_output_1"}
    assert set(metrics["test"]) == set(metrics["closed_loop"]) == names
    assert run(["verify", "--model", str(out), "--task", "addition", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []
    task = load_task("addition", TaskSettings(60, 10, 20)).factored()
    hidden = task.test.X.copy()
    hidden[:, :, 2] = 7.0  # the carry is not looked at
    data = save_data(tmp_path / "d.npz", X=hidden)[1]
    predict = ["predict", "--model", str(out), "--data", data, "--out", str(tmp_path / "p.npz")]
    assert run([*predict, "--closed-loop"]) == 0
    closed = np.load(tmp_path / "p.npz")
    right = (closed["prediction"] == task.test.y).all(axis=2)
    assert right.mean() == pytest.approx(metrics["closed_loop"]["accuracy"])
    assert right.all(axis=1).mean() == pytest.approx(metrics["closed_loop"]["sequence_accuracy"])
    assert np.array_equal(closed["inputs"][:, 1:, 2], closed["prediction"][:, :-1, 1])
    assert run(predict) == 0
    assert set(np.load(tmp_path / "p.npz").files) >= {"scores_0", "scores_1", "probabilities_0", "probabilities_1"}
    alter_certificate(out, heads=[[2, 1.0], [2, 1.0]])
    assert run(["verify", "--model", str(out), "--task", "addition"]) == 1
    assert "heads" in capsys.readouterr().out


def test_closed_loop_of_a_joint_token_in_lists_of_unequal_length(tmp_path, capsys):
    assert fit(tmp_path / "m", *ADDITION) == 0
    task = load_task("addition", TaskSettings(60, 10, 20))
    lengths = np.arange(20) % 6 + 1
    data = save_data(tmp_path / "d.npz", X=task.test.X, lengths=lengths)[1]
    predict = ["predict", "--model", str(tmp_path / "m"), "--data", data, "--out", str(tmp_path / "p.npz")]
    assert run([*predict, "--closed-loop"]) == 0
    assert np.load(tmp_path / "p.npz")["prediction"].shape == (lengths.sum(),)
    model, extra = load_model(tmp_path / "m" / "model.safetensors")
    for source, message in [({}, "unknown data, not on a task"), ({"task": "addition"}, "not on a task")]:
        save_model(model, tmp_path / "other.safetensors", extra | {"source": source})
        capsys.readouterr()
        predict[2] = str(tmp_path / "other.safetensors")
        assert run([*predict, "--closed-loop"]) == 2
        assert message in " ".join(capsys.readouterr().err.split())


def test_closed_loop_of_a_task_without_feedback_is_refused(trained, tmp_path, capsys):
    data = save_data(tmp_path / "d.npz")[1]
    arguments = ["--model", str(trained), "--data", data, "--out", str(tmp_path / "p.npz"), "--closed-loop"]
    assert run(["predict", *arguments]) == 2
    assert "first-last-xor has no feedback" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "p.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*XOR, "--factored"], "labels of first-last-xor have no factors"),
        ([*XOR, "--output-weights", "1"], "output_weights must be None where y has one output"),
        ([*ADDITION, "--factored", "--output-weights", "1"], "one number an output: y has 2, got 1"),
        ([*ADDITION, "--factored", "--loss", "hinge"], "'cross_entropy' for several categorical outputs"),
        ([*XOR, "--regression", "--output-weights", "1"], "is for classes"),
    ],
)
def test_bad_options_of_several_outputs(tmp_path, capsys, arguments, message):
    assert fit(tmp_path / "m", *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_same_seed_writes_the_same_model(tmp_path):
    for name in ("a", "b"):
        assert fit(tmp_path / name, *XOR, "--seed", "3") == 0
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("a", "b"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_missed_tolerance_is_said(tmp_path, capsys):
    assert fit(tmp_path / "m", *XOR, "--tol", "1e-15", "--max-iter", "1", "--beta", "0.001") == 0
    assert "not certified to tol" in capsys.readouterr().err
    assert json.loads((tmp_path / "m" / "metrics.json").read_text())["certified"] is False
    assert run(["verify", "--model", str(tmp_path / "m"), "--task", "first-last-xor"]) == 0
    assert "above tol" in capsys.readouterr().out


def test_tasks_lists_the_tasks(capsys):
    assert run(["tasks"]) == 0
    assert "first-last-xor" in capsys.readouterr().out
    assert run(["tasks", "--json"]) == 0
    names = {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert {"first-last-xor", "digits", "mnist"} <= names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "pass either --task NAME or --data"),
        (["--task", "digits", "--data", "x.npz"], "pass either"),
        (["--task", "digist"], "digits"),
        (["--task", "digits", "--n-train", "0"], "n_train"),
        (["--task", "digits", "--n-train", "5000"], "n_train"),
        (["--task", "digits", "--timesteps", "0"], "timesteps"),
        (["--task", "digits", "--timesteps", "7"], "timesteps"),
        (["--task", "mnist", "--data-dir", "/nowhere"], "data_dir"),
        (["--task", "first-last-xor", "--beta", "0"], "beta"),
        (["--task", "first-last-xor", "--depth", "1"], "depth"),
        (["--task", "first-last-xor", "--last", "-5"], "last"),
        (["--task", "first-last-xor", "--seed", "-1"], "seed"),
        (["--task", "first-last-xor", "--device", "abacus"], "device"),
        (["--task", "first-last-xor", "--loss", "hing"], "loss"),
        (["--task", "first-last-xor", "--regression", "--loss", "hinge"], "loss"),
        (["--data", "missing.npz"], "there is no data file"),
        (["--data", "missing.npz", "--n-train", "3"], "is for --task"),
        (["--data", "missing.npz", "--permute"], "is for --task"),
        (["--task", "first-last-xor", "--beta", "1e-300"], "beta (or rho) is too small"),
        (["--task", "first-last-xor", "--beta", "1", "--beta", "path"], "beta[1] must be a number"),
        (["--task", "first-last-xor", "--beta", "1", "--beta", "1"], "beta must hold every number once"),
        (["--task", "first-last-xor", "--beta", "some"], "--beta"),
        (["--task", "first-last-xor", "--beta", "path", "--rho", "1"], "rho takes the place of beta"),
        (["--task", "first-last-xor", "--beta", "path", "--validation-fraction", "1"], "validation_fraction"),
    ],
)
def test_bad_options_exit_with_2_and_name_the_option(tmp_path, capsys, arguments, message):
    assert run(["fit", *arguments, "--out", str(tmp_path / "m")]) == 2
    captured = capsys.readouterr()
    assert message in " ".join((captured.err + captured.out).split())
    assert not (tmp_path / "m" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.full((50, 3, 2), np.nan)}, "X contains NaN"),
        ({"X": np.zeros((50, 3, 2, 2))}, "X must have shape"),
        ({"y": np.arange(49) % 2}, "49"),
        ({"y": np.zeros(50)}, "one class"),
        ({"lengths": np.zeros(50, int)}, "lengths"),
        ({"lengths": np.ones(49, int)}, "lengths"),
        ({"X_test": np.zeros((3, 3, 2))}, "array y_test: it is missing"),
        ({"y_test": np.zeros(3)}, "array X_test: it is missing"),
        ({"X_val": np.zeros((3, 3, 5)), "y_val": np.zeros(3)}, "X_val has 5 features"),
        ({"X_val": np.full((3, 3, 2), np.nan), "y_val": np.zeros(3)}, "X_val contains NaN"),
        ({"X": np.float64(3.0)}, "array X: it must be a plain array"),
        ({"y": np.float64(3.0)}, "array y: it must be a plain array"),
        ({"X": np.full((50, 3, 2), 1e308)}, "X drives membrane potentials beyond the range"),
    ],
)
def test_bad_files_exit_with_2_and_name_the_array(tmp_path, capsys, arrays, message):
    assert fit(tmp_path / "m", *save_data(tmp_path / "d.npz", **arrays)) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_damaged_and_pickled_data_files_are_refused(tmp_path, capsys):
    path = tmp_path / "d.npz"
    path.write_bytes(b"PK\x03\x04 not really")
    assert fit(tmp_path / "m", "--data", str(path)) == 2
    assert "is not an .npz file" in " ".join(capsys.readouterr().err.split())
    np.savez(path, X=np.array([{"evil": 1}], dtype=object), y=np.zeros(1))
    assert fit(tmp_path / "m", "--data", str(path)) == 2
    assert "array X: it holds objects" in " ".join(capsys.readouterr().err.split())


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, capsys, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert fit(tmp_path / "m", *XOR) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert f"could not write {tmp_path / 'm'} (No space left on device); nothing was changed" in message
    assert list(tmp_path.iterdir()) == []


def test_predict_refuses_bad_models_and_inputs(trained, tmp_path, capsys):
    data = save_data(tmp_path / "d.npz", X=np.zeros((4, 3, 5)), y=np.zeros(4))
    out = ["--out", str(tmp_path / "p.npz")]
    assert run(["predict", "--model", str(trained), *data, *out]) == 2
    assert "X has 5 features" in capsys.readouterr().err
    assert run(["predict", "--model", str(tmp_path), *data, *out]) == 2
    assert "there is no such file" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "p.npz").exists()


def test_as_a_process_quiet_and_with_json_on_standard_output(tmp_path):
    command = [sys.executable, "-m", "convexsnn", "fit", *XOR, *SMALL, "--out", str(tmp_path / "m"), "--json"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    assert json.loads(finished.stdout)["certificate"]["relative_gap"] <= 1e-6


def test_export_to_torch_is_the_state_of_the_module(trained, capsys):
    out = trained / "net.safetensors"
    assert run(["export", "--model", str(trained), "--to", "torch", "--out", str(out), "--json"]) == 0
    network = load_model(trained / "model.safetensors")[0].network_
    state = to_torch(network).state_dict()
    written = load_file(out)
    assert written.keys() == state.keys()
    assert all(torch.equal(written[name], value) for name, value in state.items())
    assert json.loads(capsys.readouterr().out)["neurons"] == network.hidden.n_neurons


def test_export_to_nir_refuses_what_it_cannot_say_and_writes_the_rest(tmp_path, capsys):
    nir = pytest.importorskip("nir")
    model, out = tmp_path / "model", tmp_path / "net.nir"
    assert fit(model, *XOR, "--readout", "spike", "--reset", "hard", "--leak", "0.5", "--beta", "0.01") == 0
    assert run(["export", "--model", str(model), "--to", "nir", "--out", str(out)]) == 0
    network = load_model(model / "model.safetensors")[0].network_
    back = from_nir(nir.read(out))
    assert back.hidden.n_neurons == network.hidden.n_neurons
    assert torch.allclose(back.W, network.W, rtol=1e-6)
    out.unlink()
    assert fit(model, *XOR, "--readout", "spike", "--beta", "0.01", "--force") == 0
    assert run(["export", "--model", str(model), "--to", "nir", "--out", str(out)]) == 2
    assert "soft_reset" in capsys.readouterr().err
    assert not out.exists()
    assert run(["export", "--model", str(model), "--to", "nir", "--out", str(out), "--soft-reset"]) == 0
