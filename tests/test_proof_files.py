"""Exact verification of stored files: every kind of fit is proved, and no mutation of the files is believed."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import convexsnn.proof
from convexsnn import Gaussian, SpikingClassifier, SpikingRegressor, build_dictionary, certify
from convexsnn.cli.app import run
from convexsnn.proof import SUMS, sum_problems, sums_of, verify_exactly
from convexsnn.storage import load_model, save_model
from helpers import reseal

MUTATIONS = 100


def draw_data(n=60, T=4, d=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, T, d)) + 0.3
    return X, np.where(X[:, 0, 0] + X[:, -1, 1] > 0.5, "up", "down")


def save(estimator, path):
    save_model(estimator, path)
    return path


FAMILY = Gaussian(hidden=12, last=40)
SMALL = {"witnesses": FAMILY, "random_state": 0, "beta": 0.05}


@pytest.mark.parametrize("loss", ["hinge", "squared", "logistic", "cross_entropy"])
@pytest.mark.parametrize("penalty", ["l1", "group"])
@pytest.mark.parametrize("classes", [2, 3])
def test_fits_of_every_loss_are_proved(tmp_path, loss, penalty, classes):
    X, _ = draw_data()
    y = np.arange(60) % classes
    model = SpikingClassifier(loss=loss, penalty=penalty, **SMALL).fit(X, y)
    outcome = verify_exactly(save(model, tmp_path / "m.safetensors"), X, y)
    assert outcome.problems == ()
    assert outcome.proof.relative_gap <= 1e-6
    assert float(outcome.proof.dual) == pytest.approx(model.certificate_.dual, rel=1e-12)
    assert "columns: nothing" in outcome.trusted[0]


@pytest.mark.parametrize("sizes", [(60,), (1, 40, 19)])
def test_proofs_read_data_in_batches(tmp_path, sizes):
    X, y = draw_data()
    model = SpikingClassifier(**SMALL).fit(X, y)
    path, ends = save(model, tmp_path / "m.safetensors"), np.cumsum(sizes).tolist()

    def read():
        yield from ((X[end - size : end], y[end - size : end]) for size, end in zip(sizes, ends, strict=True))

    outcome, whole = verify_exactly(path, read, None), verify_exactly(path, X, y)
    assert outcome.holds
    assert (outcome.proof.primal, outcome.proof.dual) == (whole.proof.primal, whole.proof.dual)
    assert not verify_exactly(path, lambda: [(X[:30], y[:30]), (X[:30], y[:30])], None).holds
    passes = iter([[(X, y)], [(X[::-1], y)]])
    assert "SHA-256" in " ".join(verify_exactly(path, lambda: next(passes), None).problems)


RNG = np.random.default_rng(1)
RAGGED = [RNG.normal(size=(length, 2)) for length in RNG.integers(1, 5, size=30)]
THRESHOLD = FAMILY.with_params(dtype="float32", neuron="threshold", recurrent=True, bias=True)
DELAYED = FAMILY.with_params(reset="delayed", readout="spike")
STEPS = [RNG.integers(2, size=len(x)) for x in RAGGED]


@pytest.mark.parametrize(
    ("settings", "X", "y", "weights"),
    [
        ({"per_step": True, "intercept": True}, RAGGED, STEPS, None),
        ({"witnesses": THRESHOLD}, *draw_data(), None),
        ({"witnesses": DELAYED, "beta": [0.1, 0.05]}, *draw_data(), None),
        ({"output_weights": [1.0, 0.3]}, draw_data()[0], RNG.integers(3, size=(60, 2)), None),
        ({"class_weight": "balanced", "loss": "hinge", "rho": 0.01}, *draw_data(), RNG.uniform(0.5, 2, size=60)),
        ({"timesteps": 5}, draw_data()[0][:, 0], draw_data()[1], None),
        ({"witnesses": FAMILY.with_params(reset="hard", branches=3, last=42), "loss": "squared"}, *draw_data(), None),
    ],
)
def test_fits_of_every_kind_are_proved(tmp_path, settings, X, y, weights):
    model = SpikingClassifier(**(SMALL | settings)).fit(X, y, weights)
    outcome = verify_exactly(save(model, tmp_path / "m.safetensors"), X, y)
    assert outcome.problems == ()
    assert outcome.proof.relative_gap <= 1e-6
    assert ("uniform" in outcome.trusted[1]) == (weights is None)


@pytest.mark.parametrize("outputs", [1, 2])
def test_regression_is_proved(tmp_path, outputs):
    X, _ = draw_data()
    y = X[:, -1, :outputs] if outputs > 1 else X[:, -1, 0]
    model = SpikingRegressor(**SMALL).fit(X, y)
    outcome = verify_exactly(save(model, tmp_path / "m.safetensors"), X, y)
    assert outcome.holds
    assert outcome.proof.exact
    assert outcome.to_dict()["arithmetic"] == "rational"


def test_analog_readouts_are_refused(tmp_path):
    X, y = draw_data()
    model = SpikingClassifier(**(SMALL | {"witnesses": FAMILY.with_params(readout="analog")})).fit(X, y)
    outcome = verify_exactly(save(model, tmp_path / "m.safetensors"), X, y)
    assert not outcome.holds
    assert "needs columns of spikes" in outcome.problems[0]


def test_other_data_are_refused(tmp_path):
    X, y = draw_data()
    path = save(SpikingClassifier(**SMALL).fit(X, y), tmp_path / "m.safetensors")
    assert not verify_exactly(path, X + 1e-9, y).holds
    assert not verify_exactly(path, X, y[::-1]).holds
    for data in [(X[:-1], y[:-1]), (X[:, :, :1], y), (X, np.full(60, "sideways"))]:
        outcome = verify_exactly(path, *data)
        assert outcome.proof is None
        assert outcome.problems
    assert "no model file" in verify_exactly(tmp_path / "nothing", X, y).problems[0]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder written by the command line, and the data file beside it."""
    folder = tmp_path_factory.mktemp("proof")
    X, y = draw_data()
    np.savez(folder / "data.npz", X=X, y=y)
    options = ["--witnesses", "gaussian", "--hidden", "12", "--last", "40", "--loss", "hinge", "--beta", "0.05"]
    assert run(["fit", "--data", str(folder / "data.npz"), *options, "--out", str(folder / "m")]) == 0
    return folder


def verify_command(folder, data, capsys):
    status = run(["verify", "--exact", "--model", str(folder), "--data", str(data), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_the_command_proves_and_says_what_it_trusts(fitted, capsys):
    capsys.readouterr()
    status, report = verify_command(fitted / "m", fitted / "data.npz", capsys)
    assert status == 0
    assert report["holds"]
    exact = report["exact"]
    assert float(exact["dual"]) <= report["recomputed"]["dual"] * (1 + 1e-12)
    assert 0 < float(exact["relative_gap"]) <= 1e-6
    assert run(["verify", "--exact", "--model", str(fitted / "m"), "--data", str(fitted / "data.npz")]) == 0
    printed = capsys.readouterr().out
    assert "optimum at least" in printed
    assert exact["dual"] in printed


def header_end(raw):
    return 8 + int.from_bytes(raw[:8], "little")


def mutate(folder, rng):
    """Change one byte of one file: any of the JSON files, of the seal, of the model's header, or of its tensors."""
    where = str(rng.choice(["certificate.json", "metrics.json", SUMS, "header", "answers", "tensors"]))
    path = folder / (where if (folder / where).is_file() else "model.safetensors")
    raw = bytearray(path.read_bytes())
    at = int(rng.integers(len(raw)))
    if where == "header":
        at = int(rng.integers(header_end(raw)))
    elif where == "tensors":
        at = int(rng.integers(header_end(raw), len(raw)))
    elif where == "answers":  # W, U, the row weights or the network's W
        table = json.loads(bytes(raw[8 : header_end(raw)]))
        start, end = table[str(rng.choice(["W", "U", "row_weights", "network.W"]))]["data_offsets"]
        at = header_end(raw) + int(rng.integers(start, end))
    if chr(raw[at]).isdigit() and rng.random() < 0.9:  # a digit for a digit
        raw[at] = int(rng.choice([c for c in b"0123456789" if c != raw[at]]))
    else:
        raw[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(raw)


def true_certificate(folder, X, y):
    """What the float64 verifier finds from the tensors as they now are: other code, other arithmetic."""
    estimator, _ = load_model(folder / "model.safetensors")
    problem, trained = estimator.problem(X, y), estimator.trained_
    dictionary = build_dictionary(trained.witnesses, problem.input)
    weights = trained.row_weights / trained.row_weights.sum()  # as the proof defines the program
    program = replace(problem.program(dictionary.columns), row_weights=weights)
    return certify(program, dictionary.to_columns(trained.W), trained.U)


@pytest.mark.parametrize("seed", range(MUTATIONS))
def test_no_mutation_is_believed(fitted, tmp_path, capsys, seed):
    shutil.copytree(fitted / "m", tmp_path / "m")
    mutate(tmp_path / "m", np.random.default_rng(seed))
    capsys.readouterr()
    # As it is found: all are caught.
    status, report = verify_command(tmp_path / "m", fitted / "data.npz", capsys)
    assert status == 1
    assert report["problems"]
    # With sums made to fit, as by one who means it: refused, or the gap printed is the true one.
    (tmp_path / "m" / SUMS).write_text(sums_of(tmp_path / "m"))
    status, report = verify_command(tmp_path / "m", fitted / "data.npz", capsys)
    assert (status == 0) == report["holds"]
    if report["holds"]:
        true = true_certificate(tmp_path / "m", *draw_data())
        exact = report["exact"]
        claimed = json.loads((tmp_path / "m" / "certificate.json").read_text())
        assert float(exact["primal"]) == pytest.approx(true.primal, rel=1e-11)
        assert float(exact["dual"]) == pytest.approx(true.dual, rel=1e-11)
        assert claimed["primal"] == pytest.approx(true.primal, rel=1e-9)
        assert claimed["dual"] <= true.dual * (1 + 1e-9)


def test_no_bit_of_the_seal_can_change(fitted, tmp_path):
    shutil.copytree(fitted / "m", tmp_path / "m")
    path = tmp_path / "m" / SUMS
    raw = path.read_bytes()
    assert sum_problems(tmp_path / "m") == []
    for at, byte in enumerate(raw):
        path.write_bytes(raw[:at] + bytes([byte ^ 1]) + raw[at + 1 :])
        assert sum_problems(tmp_path / "m"), at
    path.write_bytes(raw.replace(b"\n", b"\r\n"))
    assert sum_problems(tmp_path / "m") == [f"{SUMS} is not as it was written"]


def test_an_altered_global_bound_is_refused_by_the_command_and_not_vouched_for_by_the_proof(fitted, tmp_path, capsys):
    """One who alters it everywhere and seals the files anew meets the float64 verifier, which proves it again."""
    folder = tmp_path / "m"
    shutil.copytree(fitted / "m", folder)
    path = folder / "model.safetensors"

    def overstate(header, _):
        bound = header["certificate"]["global_bound"]
        bound["value"] *= 1.001
        bound["gap"] = bound["primal"] - bound["value"]
        bound["relative_gap"] = bound["gap"] / bound["primal"]
        (folder / "certificate.json").write_text(json.dumps(header["certificate"]))

    reseal(path, overstate)
    (folder / SUMS).write_text(sums_of(folder))
    capsys.readouterr()
    status, report = verify_command(folder, fitted / "data.npz", capsys)
    assert status == 1
    assert "global_bound claims" in " ".join(report["problems"])
    assert "not proved here" in verify_exactly(folder, *draw_data()).trusted[-1]


@pytest.mark.parametrize("change", [{"format": 5}, {"data_digest": "0" * 64}])
def test_other_formats_and_other_data_are_refused_by_the_proof_alone(fitted, tmp_path, change):
    path = tmp_path / "m.safetensors"
    with safe_open(str(fitted / "m" / "model.safetensors"), "pt") as file:
        header = json.loads(file.metadata()["convexsnn"])
    save_file(load_file(fitted / "m" / "model.safetensors"), path, {"convexsnn": json.dumps(header | change)})
    (problem,) = verify_exactly(path, *draw_data()).problems
    assert "fit the model anew" in problem or "SHA-256 differs" in problem


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"primal": 0.001}, "claims objective"),
        ({"dual": 1.0}, "claims lower bound"),
        ({"rho": 1e-5}, "rho"),
        ({"n": 61}, "n = 61"),
        ({"P": 1}, "P = 1"),
        ({"support": 1}, "support = 1"),
        ({"scope": "global"}, "its scope is 'global'"),
        ({"loss": "squared"}, "loss = 'squared'"),
        ({"penalty": "group"}, "penalty = 'group'"),
        ({"spike_margin": 0.5}, "spike margin"),
        ({"heads": [[2, 1.0]]}, "heads"),
    ],
)
def test_consistent_lies_are_refused_by_the_proof_alone(fitted, tmp_path, changes, reason):
    folder = tmp_path / "m"
    shutil.copytree(fitted / "m", folder)
    path = folder / "model.safetensors"
    with safe_open(str(path), "pt") as file:
        header = json.loads(file.metadata()["convexsnn"])
    lie = header["certificate"] | changes
    lie["gap"] = lie["primal"] - lie["dual"]
    lie["relative_gap"] = lie["gap"] / abs(lie["primal"])
    save_file(load_file(path), path, {"convexsnn": json.dumps(header | {"certificate": lie})})
    (folder / "certificate.json").write_text(json.dumps(lie))
    (folder / SUMS).unlink()
    outcome = verify_exactly(folder, *draw_data())
    assert not outcome.holds
    assert any(reason in problem for problem in outcome.problems)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("W", lambda W: 1.1 * W, "claims objective"),
        ("W", lambda W: W * torch.nan, "not finite"),
        ("U", lambda U: 0.5 * U, "claims lower bound"),
        ("U", lambda U: U[1:], "U must have shape"),
        ("row_weights", lambda w: 2 * w, "sum to one"),
        ("row_weights", lambda w: w * torch.linspace(0.5, 1.5, len(w)).double(), "claims"),
        ("network.W", lambda W: -W, "the stored network has objective"),
        ("network.0.0.weight", lambda w: -w, "the stored network has objective"),
        ("witnesses.0.0.weight", lambda w: w.flip(0), "claims"),
        ("witnesses.0.0.weight", lambda w: w[1:], "must be finite"),
        ("witnesses.0.0.leak", lambda leak: leak + 1, "leak"),
    ],
)
def test_changed_tensors_are_refused_by_the_proof_alone(fitted, tmp_path, name, change, reason):
    path = tmp_path / "m.safetensors"
    with safe_open(str(fitted / "m" / "model.safetensors"), "pt") as file:
        metadata = file.metadata()
    tensors = load_file(fitted / "m" / "model.safetensors")
    save_file(tensors | {name: change(tensors[name]).contiguous()}, path, metadata)
    outcome = verify_exactly(path, *draw_data())
    assert not outcome.holds
    assert reason in " ".join(outcome.problems)


def test_the_room_stands_alone_without_torch(fitted, tmp_path):
    shutil.copytree(Path(convexsnn.proof.__file__).parent, tmp_path / "proof")
    program = (
        "import sys; sys.modules['torch'] = None; sys.modules['convexsnn'] = None; sys.path.insert(0, '.');"
        "from proof.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = [str(fitted / "m"), str(fitted / "data.npz")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["holds"]


def _sealed_again(folder):
    (folder / SUMS).write_text(sums_of(folder))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("certificate.json", lambda t: t.replace("{", '{"scope": "global", ', 1), "certificate.json"),
        ("metrics.json", lambda t: t.replace("{", '{"accuracy_everywhere": 1.0, ', 1), "keys that no such file has"),
        ("metrics.json", lambda t: t.replace('"train": {', '"train": {"praise": 1.0, ', 1), "train in metrics.json"),
        ("metrics.json", lambda t: t.replace('"n": {', '"n": {"train": 1, ', 1), "stands twice"),
        ("quantised.json", lambda t: '{"bits": 4}', "was not made in a way that writes it"),  # noqa: ARG005
    ],
)
def test_keys_that_stand_twice_or_are_unknown_are_refused_even_where_they_are_sealed(
    fitted, tmp_path, name, text, reason
):
    folder = tmp_path / "m"
    shutil.copytree(fitted / "m", folder)
    path = folder / name
    path.write_text(text(path.read_text() if path.exists() else ""))
    _sealed_again(folder)
    outcome = verify_exactly(folder, *draw_data())
    assert not outcome.holds
    assert reason in " ".join(outcome.problems)


def test_a_folder_without_seal_or_with_an_unsealed_file_is_refused(fitted, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(fitted / "m", folder)
    (folder / "path.json").write_bytes(b"")
    assert "path.json" in " ".join(sum_problems(folder))
    (folder / "path.json").unlink()
    (folder / "search.safetensors").write_bytes(b"")  # of a search that goes on from it: no part of the model
    assert sum_problems(folder) == []
    (folder / SUMS).unlink()
    assert f"there is no {SUMS}" in " ".join(verify_exactly(folder, *draw_data()).problems)


def test_weights_that_are_not_the_kind_that_the_model_names_are_refused(fitted, tmp_path):
    path = tmp_path / "m.safetensors"
    with safe_open(str(fitted / "m" / "model.safetensors"), "pt") as file:
        header = json.loads(file.metadata()["convexsnn"])
    tensors = load_file(fitted / "m" / "model.safetensors")
    assert header["row_weights"] == "uniform"
    save_file(tensors, path, {"convexsnn": json.dumps(header | {"row_weights": "given"})})
    assert "row weights are 'given'" in " ".join(verify_exactly(path, *draw_data()).problems)


def test_the_stored_bound_is_refused_by_one_digit_above_what_is_proved(fitted, tmp_path):
    path = tmp_path / "m.safetensors"
    with safe_open(str(fitted / "m" / "model.safetensors"), "pt") as file:
        header = json.loads(file.metadata()["convexsnn"])
    lie = header["certificate"]
    lie["dual"] += 1e-12 * abs(lie["dual"])
    lie["gap"] = lie["primal"] - lie["dual"]
    lie["relative_gap"] = lie["gap"] / abs(lie["primal"])
    save_file(load_file(fitted / "m" / "model.safetensors"), path, {"convexsnn": json.dumps(header)})
    assert "claims lower bound" in " ".join(verify_exactly(path, *draw_data()).problems)


def test_strict_refuses_undecided_spikes(tmp_path, capsys):
    X, y = draw_data()
    np.savez(tmp_path / "data.npz", X=0.1 * np.round(10 * X), y=y)
    data = ["--data", str(tmp_path / "data.npz")]
    options = ["--witnesses", "gaussian", "--last", "20", "--depth", "2", "--loss", "hinge", "--beta", "0.05"]
    assert run(["fit", *data, *options, "--out", str(tmp_path / "m")]) == 0
    capsys.readouterr()
    status = run(["verify", "--strict", "--model", str(tmp_path / "m"), *data, "--json"])
    report = json.loads(capsys.readouterr().out)
    assert status == (1 if report["exact"]["undecided"] else 0)
