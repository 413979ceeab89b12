"""The command line on a folder of batches: the same files as from one file with all sequences."""

import json

import numpy as np
import pytest

from convexsnn import Gaussian, SpikingClassifier, as_batches
from convexsnn.cli.app import run
from convexsnn.cost import inference_cost
from convexsnn.sequences import SequenceSource

FIT = ["--witnesses", "gaussian", "--last", "12", "--loss", "hinge", "--beta", "0.1"]


def save(folder, *, per_step=False):
    """Sequences of unequal length, in three files of a folder and in one file; returns both paths."""
    draws, arrays = np.random.default_rng(0), []
    for _ in range(3):
        X, lengths = np.round(draws.normal(size=(20, 5, 3)), 1), draws.integers(2, 6, 20)
        X[np.arange(5) >= lengths[:, None]] = 0.0
        y = (X[:, :, 0] > 0).astype(int)
        arrays.append({"X": X, "y": y if per_step else y[:, 0], "lengths": lengths})
    (folder / "parts").mkdir()
    for k, part in enumerate(arrays):
        np.savez(folder / "parts" / f"{k}.npz", **part)
    np.savez(folder / "one.npz", **{name: np.concatenate([part[name] for part in arrays]) for name in arrays[0]})
    return folder / "parts", folder / "one.npz"


@pytest.mark.parametrize("per_step", [False, True])
def test_a_fit_and_its_exact_proof_are_those_of_one_file(tmp_path, per_step, capsys):
    parts, one = save(tmp_path, per_step=per_step)
    for data, out in ((parts, "batches"), (one, "whole")):
        arguments = ["fit", "--data", str(data), "--out", str(tmp_path / out), *FIT]
        assert run([*arguments, *(["--per-step"] if per_step else [])]) == 0
    batches, whole = tmp_path / "batches", tmp_path / "whole"
    assert (batches / "certificate.json").read_bytes() == (whole / "certificate.json").read_bytes()
    told = [json.loads((folder / "metrics.json").read_text()) | {"seconds": None} for folder in (batches, whole)]
    assert told[0] == told[1]
    for model, data in ((batches, parts), (batches, one), (whole, parts)):
        assert run(["verify", "--exact", "--strict", "--model", str(model), "--data", str(data)]) == 0
    capsys.readouterr()
    (parts / "2.npz").rename(tmp_path / "2.npz")
    assert run(["verify", "--exact", "--model", str(batches), "--data", str(parts)]) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "--out", "m2", "--timesteps", "3"], "--timesteps is for a 2-D X in a file"),
        (["fit", "--out", "m2", "--witnesses", "search"], "needs all sequences in memory"),
        (["fit", "--out", "m2", "--missing", "carry", *FIT], "needs all sequences at once"),
        (["bound", "--model", "m"], "is a folder: batches are for convexsnn fit and verify"),
        (["quantise", "--model", "m", "--out", "q"], "is a folder: batches are for convexsnn fit and verify"),
        (["report", "m"], "is a folder: batches are for convexsnn fit and verify"),
        (["predict", "--model", "m", "--out", "p.npz"], "is a folder: batches are for convexsnn fit and verify"),
    ],
)
def test_what_is_not_for_batches_says_so(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    parts, _ = save(tmp_path)
    if arguments[0] != "fit":
        assert run(["fit", "--data", str(parts), "--out", "m", *FIT]) == 0
    assert run([*arguments, "--data", str(parts)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "m2").exists()


def test_folders_without_batches_or_labels_are_refused(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", X=np.zeros((3, 4, 2)))
    for folder, said in ((tmp_path, "must have labels"), (tmp_path / "none", "no data file")):
        assert run(["fit", "--data", str(folder), "--out", str(tmp_path / "m")]) == 2
        assert said in " ".join(capsys.readouterr().err.split())


def test_the_cost_of_inference_is_that_of_the_whole_array(tmp_path, monkeypatch):
    monkeypatch.setattr(SequenceSource, "in_numbers", lambda self: self.chunks(7))
    parts, _ = save(tmp_path)
    batches = as_batches(parts)
    model = SpikingClassifier(witnesses=Gaussian(last=12), beta=0.1, random_state=0).fit(batches)
    (whole,) = batches.chunks(100)
    assert inference_cost(model.network_, batches) == inference_cost(model.network_, whole)
