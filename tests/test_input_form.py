"""The form of X: remembered from fit, expected again, and named where its axes look exchanged."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from convexsnn import Gaussian, SpikingClassifier, SpikingRegressor, as_sequences
from convexsnn.estimators.input_form import likeness
from convexsnn.storage import load_model, save_model
from convexsnn.tasks import TaskSettings, load_task

SMALL = {"witnesses": Gaussian(depth=2, last=32), "random_state": 0}
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 5, 2)), np.arange(30) % 2


def fit(X=X, y=Y, **settings):
    return SpikingClassifier(**(SMALL | settings)).fit(X, y)


def quietly(call):
    """What a call gives, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call()


def smooth(n, channels, T, seed=0):
    """Series as aeon has them: walks, (n, channels, T)."""
    return np.random.default_rng(seed).normal(size=(n, channels, T)).cumsum(axis=2)


@pytest.mark.parametrize("saved", [False, True])
def test_one_sequence_a_table_and_exchanged_axes_are_refused_after_sequences(tmp_path, saved):
    model = fit()
    if saved:
        save_model(model, tmp_path / "m.safetensors")
        model, _ = load_model(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=r"X has shape \(5, 2\).*one sequence is X\[None\], of shape \(1, 5, 2\)"):
        model.predict(X[0])
    with pytest.raises(ValueError, match=r"looks like \(n, d, T\).*pass X.transpose\(0, 2, 1\)"):
        model.score(X.transpose(0, 2, 1), Y)
    assert np.array_equal(model.predict(X[0][None]), model.predict(X)[:1])
    assert np.array_equal(model.predict(list(X)), model.predict(X))
    assert model.predict(X[:, :3]).shape == (30,)  # fewer steps are another question, not another form


def test_sequences_are_refused_after_a_table():
    model = fit(X[:, 0], timesteps=4)
    with pytest.raises(ValueError, match=r"in fit it had shape \(n, 2\), which was shown .* timesteps=4"):
        model.predict(X)


def test_series_of_aeon_are_warned_about_with_the_axes_named():
    series = smooth(30, 3, 60)
    with pytest.warns(UserWarning, match=r"\(30, 3, 60\) is read as \(n, T, d\): 3 steps of 60 features, but"):
        fit(series)
    quietly(lambda: fit(series.transpose(0, 2, 1)))


def test_series_of_the_ucr_archive_are_warned_about():
    series = smooth(30, 1, 60)
    with pytest.warns(UserWarning, match=r"one step has no memory. .*pass X.transpose\(0, 2, 1\)"):
        fit(series)
    with pytest.warns(UserWarning, match=r"read as 60 features, shown as constant.*pass X\[:, :, None\]"):
        fit(series[:, 0])
    quietly(lambda: fit(series.transpose(0, 2, 1)))


@pytest.mark.parametrize("name", ["digits", "first-last-xor", "dfa:parity", "addition:base-10"])
def test_tasks_of_ours_are_not_suspicious(name):
    sizes = TaskSettings(n_train=60, n_val=2, n_test=2)
    for task in [load_task(name, sizes)] + ([load_task(name, TaskSettings(60, 2, 2, 4))] if name == "digits" else []):
        per_step = task.per_step
        model = SpikingClassifier(**SMALL, per_step=per_step)
        quietly(lambda model=model, task=task: model.fit(task.train.X, task.train.y))


def test_tables_are_not_suspicious():
    quietly(lambda: fit(RNG.normal(size=(30, 40))))
    rows = RNG.normal(size=(30, 1)) * 0.5 + RNG.normal(size=(30, 40))  # columns that share a cause
    quietly(lambda: fit(rows))


def test_likeness_is_the_correlation_of_neighbours():
    walk = smooth(50, 1, 40)[:, 0]
    pairs = [np.corrcoef(walk[:, i], walk[:, i + 1])[0, 1] for i in range(39)]
    assert likeness(walk) == pytest.approx(np.median(pairs))
    assert likeness(np.ones((5, 4))) == 0.0
    assert likeness(1e300 * walk) == pytest.approx(np.median(pairs))


def frames(columns, values=X):
    return [pd.DataFrame(x, columns=columns) for x in values]


def test_columns_of_frames_are_put_into_the_order_of_fit():
    model = fit(frames(["a", "b"]))
    assert model.feature_names_in_.tolist() == ["a", "b"]
    exchanged = [frame[["b", "a"]] for frame in frames(["a", "b"])]
    assert np.array_equal(
        quietly(lambda: model.decision_function(exchanged)), model.decision_function(frames(["a", "b"]))
    )
    assert np.array_equal(model.decision_function(frames(["a", "b"])), fit().decision_function(X))
    mixed = [frame if i % 2 else frame[["b", "a"]] for i, frame in enumerate(frames(["b", "a"]))]
    assert np.array_equal(as_sequences(mixed, columns=("b", "a")).values, as_sequences(X).values)
    with pytest.raises(ValueError, match=r"X\[0\] must have the columns a, b: it lacks \['b'\], and has \['c'\]"):
        model.predict(frames(["a", "c"]))


def test_names_of_features_are_kept_in_files_and_missed_as_scikit_learn_misses_them(tmp_path):
    save_model(fit(frames(["a", "b"])), tmp_path / "m.safetensors")
    model, _ = load_model(tmp_path / "m.safetensors")
    exchanged = [frame[["b", "a"]] for frame in frames(["a", "b"])]
    assert np.array_equal(model.decision_function(exchanged), model.decision_function(frames(["a", "b"])))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)
    with pytest.warns(UserWarning, match="X has feature names, but SpikingClassifier was fitted without"):
        fit().predict(frames(["a", "b"]))


def test_a_table_with_names_is_held_against_them():
    model = fit(pd.DataFrame(X[:, 0], columns=["a", "b"]))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(pd.DataFrame(X[:, 0], columns=["b", "a"]))


def test_objects_and_tensors_of_any_kind_are_read_alike():
    held = np.empty(30, dtype=object)
    held[:] = list(X)
    expected = as_sequences(X).values
    single = torch.from_numpy(X).to(torch.bfloat16)
    for other in (held, list(X), tuple(map(torch.from_numpy, X)), X.tolist(), np.ma.masked_array(X), X.astype(object)):
        assert torch.equal(as_sequences(other).values, expected)
        assert np.array_equal(fit(other).decision_function(other), fit().decision_function(X))
    assert torch.equal(as_sequences(single).values, single.double())
    ragged = np.empty(2, dtype=object)
    ragged[:] = [X[0], X[1, :3]]
    assert as_sequences(ragged).lengths.tolist() == [5, 3]


def test_rows_without_weight_are_as_if_absent():
    """The balance of classes counts the rows that have a weight, and a class without any is none."""
    y = np.arange(30) % 3
    weights = np.where(y == 2, 0.0, 1.0 + np.arange(30) % 2)
    weights[:4] = 0.0
    kept = weights > 0
    whole = SpikingClassifier(class_weight="balanced", **SMALL).fit(X, y, sample_weight=weights)
    alone = SpikingClassifier(class_weight="balanced", **SMALL).fit(X[kept], y[kept], sample_weight=weights[kept])
    assert whole.classes_.tolist() == [0, 1]
    assert whole.certificate_ == alone.certificate_
    assert np.array_equal(whole.decision_function(X), alone.decision_function(X))
    real = SpikingRegressor(**SMALL).fit(X, y * 1.0, sample_weight=weights)
    assert real.certificate_ == SpikingRegressor(**SMALL).fit(X[kept], y[kept] * 1.0, weights[kept]).certificate_


@pytest.mark.parametrize(
    ("labels", "others"),
    [
        (Y, Y.astype(str)),
        (Y.astype(str), Y),
        (Y.astype(str), Y.astype(bytes)),
        (Y, np.array([str(v) for v in Y], dtype=object)),
        (np.c_[Y, Y[::-1]], np.c_[Y, Y[::-1]].astype(str)),
    ],
)
def test_labels_of_another_kind_are_no_zero_but_an_error(labels, others):
    model = fit(y=labels)
    with pytest.raises(ValueError, match="convert"):
        model.score(X, others)


def test_labels_of_another_type_of_numbers_are_the_same_labels():
    model = fit()
    assert model.score(X, Y.astype(float)) == model.score(X, Y) == model.score(X, Y.astype(bool))
    assert model.score(X, Y + 7) == 0.0  # other classes, which none can be right of
