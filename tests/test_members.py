"""Several fits averaged into one network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone

from convexsnn import SpikingClassifier, SpikingRegressor
from convexsnn.estimators import average
from convexsnn.estimators.rechecking import recheck
from convexsnn.export import to_torch
from convexsnn.families import Gaussian, Kernels
from convexsnn.proof import verify_exactly
from convexsnn.reading import DamagedFileError
from convexsnn.sealed import read_sealed, write_sealed
from convexsnn.sequences import as_sequences
from convexsnn.simulation import scores
from convexsnn.storage import load_model, save_model

X = np.random.default_rng(0).normal(size=(40, 10, 2)).cumsum(axis=1)
Y = np.where(X[:, -1, 0] > 1.0, "up", "down")
SMALL = Gaussian(branches=4, last=20)
REAL = X[:, :, 0].mean(axis=1)
CLASSIFIER = SpikingClassifier(witnesses=SMALL, loss="logistic", beta=0.1, members=3, random_state=5)
REGRESSOR = SpikingRegressor(witnesses=Kernels(last=40), bypass=1, members=3, random_state=5)


@pytest.mark.parametrize(("model", "y"), [(CLASSIFIER, Y), (REGRESSOR, REAL)])
def test_the_network_gives_the_mean_of_its_members_in_file_and_export(model, y, tmp_path):
    mean = clone(model).fit(X, y)
    sequences = as_sequences(X)
    outputs = [scores(member.network_, sequences) for member in mean.members_]
    torch.testing.assert_close(scores(mean.network_, sequences), sum(outputs) / 3, rtol=1e-12, atol=1e-12)
    exported, _ = to_torch(mean.network_)(torch.from_numpy(X).transpose(0, 1))
    torch.testing.assert_close(exported, sum(outputs) / 3, rtol=1e-9, atol=1e-9)
    assert [member.random_state for member in mean.members_] == [5, 6, 7]
    assert mean.score(X, y) > 0.8
    assert mean.predict(X).shape == y.shape
    alone = clone(model).set_params(members=1, random_state=6).fit(X, y)
    assert alone.network_.equals(mean.members_[1].network_)
    save_model(mean, tmp_path / "model.safetensors", {"of": "a test"})
    again, extra = load_model(tmp_path / "model.safetensors")
    assert extra == {"of": "a test"}
    assert again.network_.equals(mean.network_)
    assert [member.certificate_ for member in again.members_] == [member.certificate_ for member in mean.members_]
    assert recheck(again, X, y)["holds"]
    other = recheck(again, X, y[::-1])
    assert not other["holds"]
    assert other["problems"][0].startswith("member 0: ")


def test_what_is_of_one_fit_is_refused_for_the_mean(tmp_path):
    mean = clone(CLASSIFIER).fit(X, Y)
    for name in ("certificate_", "dual_gap_", "n_iter_", "beta_", "path_", "history_", "stopped_", "trained_"):
        with pytest.raises(AttributeError, match=r"the mean of 3: ask members_\[0\]"):
            getattr(mean, name)
    for refused in (mean.problem, mean.tighten_bound):
        with pytest.raises(ValueError, match=r"is of one fit, and this is the mean of 3"):
            refused(X, Y)
    with pytest.raises(ValueError, match="checkpoint is for one fit"):
        clone(CLASSIFIER).fit(X, Y, checkpoint=tmp_path / "search")
    with pytest.raises(ValueError, match="members must be"):
        clone(CLASSIFIER).set_params(members=0).fit(X, Y)
    path = tmp_path / "model.safetensors"
    save_model(mean, path)
    assert "the mean of several fits" in verify_exactly(path, X, Y).problems[0]
    save_model(mean.members_[0], path)
    assert verify_exactly(path, X, Y).holds
    single = mean.set_params(members=1).fit(X, Y)
    assert single.members_ == ()
    assert single.certificate_.relative_gap < 1e-6


def test_a_file_that_contradicts_itself_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(clone(CLASSIFIER).fit(X, Y), path)
    header, tensors = read_sealed(path, "convexsnn")
    one = header["members"][:1]
    for changed, match in (
        (header | {"members": one}, "at least two"),
        (header | {"members": [*header["members"][:2], header]}, "each of one fit"),
        (header | {"members": header["members"][:2]}, "of no member"),
        (header | {"parameters": header["parameters"] | {"beta": 7.0}}, "not those of the members"),
        (header | {"estimator": "SpikingRegressor"}, "not those of the members"),
    ):
        write_sealed(path, "convexsnn", changed, tensors)
        with pytest.raises(DamagedFileError, match=match):
            load_model(path)


def test_members_that_do_not_fit_together_are_refused():
    model = clone(CLASSIFIER).set_params(members=1).fit(X, Y)
    other = clone(model).fit(X, Y == "up")
    read = clone(model).set_params(witnesses=Gaussian(branches=4, last=20, readout="rate")).fit(X, Y)
    carries = clone(model).set_params(missing="carry").fit(X, Y)
    regressor = SpikingRegressor(witnesses=SMALL, beta=0.1).fit(X, REAL)
    mean = average([model, model])
    assert mean.members == 2
    torch.testing.assert_close(mean.decision_function(X), model.decision_function(X), rtol=1e-12, atol=1e-12)
    for members, match in (
        ([model], "members must be at least two fitted estimators, got 1"),
        ([model, other], "members must know the same classes"),
        ([model, read], "must have the same readout"),
        ([model, carries], "members must read X alike"),
        ([model, regressor], "all be classifiers, or all regressors"),
        ([model, mean], "a member is of one fit"),
    ):
        with pytest.raises(ValueError, match=match):
            average(members)
