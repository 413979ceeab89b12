"""Saving and loading: round trips, damaged and foreign files, failed writes."""

import errno
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from convexsnn import Gaussian, SpikingClassifier, SpikingRegressor
from convexsnn.files import write_atomically
from convexsnn.reading import DamagedFileError
from convexsnn.storage import load_model, save_model
from helpers import KINDS, reseal


def fitted(witnesses=None, **parameters):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4, 2)), rng.integers(3, size=40)
    model = SpikingClassifier(witnesses=witnesses or Gaussian(hidden=8, last=24), random_state=0, **parameters)
    return model.fit(X, np.array(["a", "b", "c"])[y]), X


@pytest.fixture(scope="module")
def model():
    return fitted()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_round_trip(tmp_path, kind, dtype):
    family = Gaussian(hidden=8, last=24, dtype=dtype, **KINDS[kind])
    model, X = fitted(family, intercept=True, class_weight={"a": 2.0, "b": 1.0, "c": 1})
    save_model(model, tmp_path / "m.safetensors", {"note": "hello"})
    loaded, extra = load_model(tmp_path / "m.safetensors")
    assert extra == {"note": "hello"}
    assert isinstance(loaded, SpikingClassifier)
    assert loaded.get_params() == model.get_params() | vars(model.recipe)
    assert np.array_equal(loaded.classes_, model.classes_)
    assert loaded.certificate_ == model.certificate_
    assert np.array_equal(loaded.decision_function(X), model.decision_function(X))
    for name in ("W", "U", "row_weights"):
        assert torch.equal(getattr(loaded.trained_, name), getattr(model.trained_, name))
    assert loaded.trained_.witnesses.n_neurons == model.trained_.witnesses.n_neurons


def test_regressor_round_trip(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(30, 3, 2)), np.arange(30.0)
    model = SpikingRegressor(witnesses=Gaussian(last=16), random_state=np.random.RandomState(3)).fit(X, y)
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert loaded.random_state is None  # a RandomState has no JSON form


def test_labels_that_json_cannot_hold_are_refused_before_anything_is_written(tmp_path):
    model, _ = fitted()
    model.classes_ = np.array([np.datetime64("2020-01-01")] * 3)
    with pytest.raises(ValueError, match="use strings or numbers"):
        save_model(model, tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_missing_truncated_and_foreign_files_are_refused(tmp_path, model):
    path = tmp_path / "m.safetensors"
    with pytest.raises(DamagedFileError, match="there is no such file"):
        load_model(path)
    save_model(model[0], path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:5], whole[:-10], whole[: len(whole) // 2], b"\x80\x04pickle", b"PK\x03\x04" + whole):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match="truncated or not a safetensors file"):
            load_model(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(DamagedFileError, match="convexsnn did not write it"):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h | {"format": 99}, "format 99.*upgrade"),
        (lambda h: h | {"format": 5}, "format 5.*fit the model anew"),
        (lambda h: {k: v for k, v in h.items() if k != "witnesses"}, "cannot be read"),
        (lambda h: h | {"estimator": "os.system"}, "cannot be read"),
        (lambda h: h | {"parameters": h["parameters"] | {"depht": 2}}, "cannot be read"),
        (lambda h: h | {"status": "PERFECT"}, "cannot be read"),
        (lambda h: h | {"network": h["network"] | {"readout": "eval"}}, "cannot be read"),
    ],
)
def test_damaged_headers_are_refused(tmp_path, model, change, message):
    path = tmp_path / "m.safetensors"
    save_model(model[0], path)
    reseal(path, lambda header, _: replace_by(header, change(dict(header))))
    with pytest.raises(DamagedFileError, match=message):
        load_model(path)


def replace_by(header, other):
    header.clear()
    header.update(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta": 0.3}, "picked beta 0.3 is not among"),
        ({"beta": -1}, "beta must be more than 0"),
        ({"beta": "small"}, "beta must be a number"),
        ({"path": 3}, "cannot be read"),
        ({"path": [{}]}, "cannot be read"),
        (
            {"path": [{"beta": 1.0, "train_score": 0, "validation_score": 0, "seconds": 0, "status": "?"}]},
            "cannot be read",
        ),
    ],
)
def test_damaged_betas_and_paths_are_refused(tmp_path, model, changes, message):
    path = tmp_path / "m.safetensors"
    save_model(model[0], path)
    reseal(path, lambda header, _: header["fitted"].update(changes))
    with pytest.raises(DamagedFileError, match=message):
        load_model(path)


def test_missing_tensor_is_refused(tmp_path, model):
    path = tmp_path / "m.safetensors"
    save_model(model[0], path)
    reseal(path, lambda _, tensors: tensors.pop("witnesses.0.1.leak"))
    with pytest.raises(DamagedFileError, match=r"witnesses\.0\.1\.leak"):
        load_model(path)


def test_a_full_disk_leaves_the_old_file_and_no_debris(tmp_path, monkeypatch):
    path = tmp_path / "m.bin"
    path.write_bytes(b"old")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"could not write .*m\.bin \(No space left on device\)") as error:
        write_atomically(path, b"new")
    assert error.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.bin"]


def test_writing_to_a_missing_folder_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"could not write .*nowhere"):
        write_atomically(tmp_path / "nowhere" / "m.bin", b"new")
