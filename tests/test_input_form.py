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


def test_frames_of_several_sequences_are_taken_apart():
    """As sktime keeps them: a series in each cell, or an index of sequence and step."""
    expected = as_sequences(frames(["a", "b"]))
    nested = pd.DataFrame({name: [pd.Series(x[:, k]) for x in X] for k, name in enumerate("ab")})
    index = pd.MultiIndex.from_product([range(30), range(5)])
    by_index = pd.DataFrame(X.reshape(-1, 2), columns=["a", "b"], index=index)
    for other in (nested, by_index):
        assert torch.equal(as_sequences(other).values, expected.values)
        model = fit(other)
        assert model.feature_names_in_.tolist() == ["a", "b"]
        assert np.array_equal(model.predict(other), model.predict(frames(["a", "b"])))
    unequal = by_index.drop(index=[(3, 4), (3, 3)])
    assert as_sequences(unequal).lengths.tolist() == [5, 5, 5, 3] + [5] * 26


def test_frames_of_several_sequences_that_are_not_in_order_are_refused():
    index = pd.MultiIndex.from_product([range(2), range(3)])
    frame = pd.DataFrame({"a": np.arange(6.0)}, index=index)
    with pytest.raises(ValueError, match=r"the steps of sequence 0 in X are not in order: pass X.sort_index"):
        as_sequences(frame.iloc[::-1].sort_index(level=0, sort_remaining=False, kind="stable"))
    with pytest.raises(ValueError, match="two rows of one sequence and step"):
        as_sequences(pd.concat([frame, frame]))
    with pytest.raises(ValueError, match=r"the features of row 0 of X have different numbers of steps: \[2, 3\]"):
        as_sequences(pd.DataFrame({"a": [np.zeros(2)], "b": [np.zeros(3)]}))


def test_lengths_say_where_padded_sequences_end():
    lengths = 2 + np.arange(30) % 4
    padding = np.arange(5) >= lengths[:, None]
    cut = [x[:length] for x, length in zip(X, lengths, strict=True)]
    noisy = np.where(padding[:, :, None], np.nan, X)
    model, expected = SpikingClassifier(**SMALL).fit(noisy, Y, lengths=lengths), fit(cut)
    assert model.trained_.data_digest == expected.trained_.data_digest
    assert np.array_equal(model.decision_function(noisy, lengths=lengths), expected.decision_function(cut))
    assert model.score(noisy, Y, lengths=lengths) == expected.score(cut, Y)
    assert np.array_equal(model.predict(as_sequences(cut)), model.predict(cut))
    with pytest.raises(ValueError, match="lengths must be 30 integers"):
        model.predict(noisy, lengths=lengths[:3])
    with pytest.raises(ValueError, match="lengths is for an array"):
        model.predict(as_sequences(cut), lengths=lengths)


def carried(x, first):
    """Step by step, as the definition says."""
    out, last = np.empty_like(x), first
    for t, own in enumerate(x):
        last = np.where(np.isnan(own), last, own)
        out[t] = last
    return out


@pytest.mark.parametrize("saved", [False, True])
def test_missing_values_are_refused_or_carried_forward(tmp_path, saved):
    holes = np.where(RNG.random(X.shape) < 0.3, np.nan, X)
    with pytest.raises(ValueError, match=rf"\({np.isnan(holes).sum()} missing, 0 infinite\), or fit with missing='car"):
        fit(holes)
    model = fit(holes, missing="carry")
    filled = np.stack([carried(x, np.nanmean(holes, axis=(0, 1))) for x in holes])
    assert torch.allclose(model.sequences(holes).values, torch.from_numpy(filled), rtol=1e-12, atol=0.0)
    if saved:
        save_model(model, tmp_path / "m.safetensors")
        model, _ = load_model(tmp_path / "m.safetensors")
    alone, mean = np.full((1, 5, 2), np.nan), np.full((1, 5, 2), model.input_form_.seen.mean)
    assert np.array_equal(model.decision_function(alone), model.decision_function(mean))
    with pytest.raises(ValueError, match="0 missing, 1 infinite"):
        model.predict(np.where(np.arange(5)[None, :, None] + np.zeros((1, 5, 2)) == 0, [np.inf, 0.0], 0.0))
    with pytest.raises(ValueError, match="feature 1 of X is missing at every step"):
        fit(np.where(np.arange(2) == 1, np.nan, X), missing="carry")
    with pytest.raises(ValueError, match="missing must be one of 'refuse', 'carry'"):
        fit(missing="drop")


def test_missing_values_of_a_table_are_the_mean_in_training():
    table = X[:, 0].copy()
    table[3, 1] = np.nan
    model = fit(table, missing="carry")
    other = table.copy()
    other[3, 1] = model.input_form_.seen.mean[1]
    assert model.input_form_.seen.mean[1] == pytest.approx(np.nanmean(table[:, 1]))
    assert np.array_equal(model.decision_function(table), model.decision_function(other))


def test_input_far_from_the_range_of_training_is_warned_about_once():
    model = fit()
    quietly(lambda: model.predict(X))
    quietly(lambda: model.predict(1.2 * X))
    with pytest.warns(UserWarning, match=r"in 1 of 2 features, most often in feature 1: \d+ of 150 values") as caught:
        model.predict(X * [1.0, 1000.0])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    constant = fit(np.concatenate([X, np.ones((30, 5, 1))], axis=2))
    quietly(lambda: constant.predict(np.concatenate([X, np.full((30, 5, 1), 1.0 + 1e-13)], axis=2)))
    with pytest.warns(UserWarning, match="far from 1 to 1"):
        constant.predict(np.concatenate([X, np.zeros((30, 5, 1))], axis=2))
