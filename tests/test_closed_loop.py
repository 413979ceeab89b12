"""Closed loop: the same answers as open loop on the inputs that it generated, for every kind of network and output."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import convexsnn.closed_loop
from convexsnn import FeedbackLoop, Gaussian, SpikingClassifier, SpikingRegressor, predict_closed_loop
from convexsnn.estimators import SpikingEstimator
from convexsnn.metrics import closed_loop_scores, split_scores
from convexsnn.tasks import TaskSettings, load_task
from helpers import KINDS


def small(**settings):
    return {"witnesses": Gaussian(hidden=8, last=16, **settings), "per_step": True, "random_state": 0, "beta": 0.02}


SMALL = small()


def draw_data(n=30, T=6, d=3, seed=0, *, ragged=False):
    """Inputs, and labels of two outputs a step that the inputs say something about."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, T, d)) + 0.5
    y = np.stack([np.cumsum(X[:, :, 0] > 0.5, axis=1) % 3, X[:, :, 1] > X[:, :, 2]], axis=2).astype(int)
    if not ragged:
        return X, y
    lengths = rng.integers(1, T + 1, size=n)
    return tuple([a[:k] for a, k in zip(array, lengths, strict=True)] for array in (X, y))


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(sorted(KINDS)),
    readout=st.sampled_from(["spike", "membrane", "analog"]),
    dtype=st.sampled_from(["float64", "float32"]),
    ragged=st.booleans(),
    several=st.booleans(),
    intercept=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_open_loop_on_the_generated_inputs_gives_the_same(kind, readout, dtype, ragged, several, intercept, seed):
    X, y = draw_data(seed=seed, ragged=ragged)
    y = y if several else [labels[:, 0] for labels in y]
    parameters = small(**KINDS[kind], readout=readout, dtype=dtype)
    model = SpikingClassifier(**parameters, intercept=intercept).fit(X, y)
    output, feature = seed % 2 if several else 0, seed % 3
    loop = FeedbackLoop(feature, {0: -0.7, 1: 0.3, 2: 1.9}, output, start=0.25)
    more = draw_data(seed=seed + 1, T=9, ragged=ragged)[0]
    before = [x.copy() for x in more]
    labels, inputs = predict_closed_loop(model, more, loop, return_inputs=True)
    assert type(labels) is type(inputs) is (list if ragged else np.ndarray)
    opened = model.predict(inputs)
    for x, same, shown, answers, again in zip(more, before, inputs, labels, opened, strict=True):
        assert np.array_equal(x, same)  # the caller's X is left alone
        assert np.array_equal(answers, again)
        fed = [0.25] + [loop.values[label] for label in (answers[:, output] if several else answers)[:-1].tolist()]
        others = [k for k in range(3) if k != feature]
        exact = np.float32 if dtype == "float32" else np.float64
        assert np.array_equal(shown[:, feature], np.array(fed).astype(exact))
        assert np.array_equal(shown[:, others], x[:, others].astype(exact))


def test_answers_matter_and_the_given_input_does_not():
    X, y = draw_data(n=100)
    model = SpikingClassifier(**SMALL).fit(X, y[:, :, 1])
    loop = FeedbackLoop(1, {0: -3.0, 1: 3.0})
    labels = predict_closed_loop(model, X, loop)
    other = X.copy()
    other[:, :, 1] = 100.0
    assert np.array_equal(predict_closed_loop(model, other, loop), labels)
    assert not np.array_equal(predict_closed_loop(model, X, replace(loop, values={0: 3.0, 1: -3.0})), labels)
    assert not np.array_equal(predict_closed_loop(model, X, replace(loop, start=3.0))[:, 0], labels[:, 0])


def test_sequences_are_independent_of_those_beside_them():
    X, y = draw_data(ragged=True)
    model = SpikingClassifier(**SMALL).fit(X, y)
    loop = FeedbackLoop(0, {0: 0.0, 1: 1.0}, output=1)
    together = predict_closed_loop(model, X, loop)
    for x, labels in zip(X, together, strict=True):
        assert np.array_equal(predict_closed_loop(model, [x], loop)[0], labels)


def test_words_are_fed_back_by_their_values():
    X, y = draw_data()
    model = SpikingClassifier(**SMALL).fit(X, np.array(["no", "yes"])[y[:, :, 1]])
    labels, inputs = predict_closed_loop(model, X, FeedbackLoop(2, {"no": 0.0, "yes": 2.0}), return_inputs=True)
    assert np.array_equal(inputs[:, 1:, 2], 2.0 * (labels[:, :-1] == "yes"))


def test_a_network_without_neurons_answers_its_first_class():
    X, y = draw_data()
    model = SpikingClassifier(**(SMALL | {"beta": 1e6})).fit(X, y)
    assert not model.network_.hidden.branches
    loop = FeedbackLoop(0, {0: 0.0, 1: 1.0, 2: 2.0})
    assert not predict_closed_loop(model, X, loop).any()


@pytest.fixture(scope="module", params=[False, True], ids=["joint", "factored"])
def addition(request):
    """Base 2 addition of four digits, trained with teacher forcing."""
    task = load_task("addition", TaskSettings(n_train=300, n_val=10, n_test=200, timesteps=5))
    task = task.factored() if request.param else task
    model = SpikingClassifier(
        witnesses=Gaussian(branches=4, hidden=32, last=128, bias=True, readout="spike"),
        per_step=True,
        beta=0.03,
        random_state=1,
    )
    return task, model.fit(task.train.X, task.train.y)


def answers_of(task, y):
    return y if task.is_factored else np.stack(task.joint.split(y), axis=-1)


def test_closed_loop_is_teacher_forcing_while_the_answers_fed_back_are_right(addition):
    task, model = addition
    closed = predict_closed_loop(model, task.test.X, FeedbackLoop.of_task(task))
    forced = model.predict(task.test.X)
    carried = answers_of(task, closed)[:, :, 1] == answers_of(task, task.test.y)[:, :, 1]
    right_so_far = np.cumprod(np.column_stack([np.ones(len(closed), int), carried[:, :-1]]), axis=1).astype(bool)
    assert 0.5 < right_so_far.mean() < 1.0  # there are both, so that the comparison says something
    assert np.array_equal(closed[right_so_far], forced[right_so_far])


def test_scores_of_a_task_in_closed_loop(addition):
    task, model = addition
    closed = predict_closed_loop(model, task.test.X, FeedbackLoop.of_task(task))
    right = (answers_of(task, closed) == answers_of(task, task.test.y)).all(axis=2)
    scores = closed_loop_scores(model, task)
    assert scores["accuracy"] == pytest.approx(right.mean())
    assert scores["sequence_accuracy"] == pytest.approx(right.all(axis=1).mean())
    # All steps of a sequence are right in closed loop exactly when they are with teacher forcing.
    assert scores["sequence_accuracy"] == split_scores(model, task.test.X, task.test.y)["sequence_accuracy"]
    assert closed_loop_scores(model, task, "train")["accuracy"] != scores["accuracy"]
    with pytest.raises(ValueError, match="split must be one of"):
        closed_loop_scores(model, task, "tests")


@pytest.mark.parametrize("kind", ["addition", "subtraction", "multiplication", "division"])
@pytest.mark.parametrize("factored", [False, True])
def test_the_loop_of_a_task_gives_its_own_inputs_back(kind, factored):
    """Fed the right answers, the loop makes the very inputs of the task."""
    task = load_task(f"{kind}:base-5", TaskSettings(n_train=20, n_val=1, n_test=1, timesteps=6))
    task = task.factored() if factored else task
    loop = FeedbackLoop.of_task(task)
    y = task.train.y[:, :, loop.output] if factored else task.train.y
    fed = np.vectorize(loop.values.__getitem__)(y[:, :-1])
    assert np.array_equal(task.train.X[:, 1:, loop.feature], fed)
    assert (task.train.X[:, 0, loop.feature] == loop.start).all()
    with pytest.raises(ValueError, match="task dfa:parity has no feedback"):
        FeedbackLoop.of_task(load_task("dfa:parity"))


def test_every_step_is_taken_once(monkeypatch):
    X, y = draw_data(n=10, T=7)
    model = SpikingClassifier(**SMALL).fit(X, y[:, :, 1])
    step, shown = convexsnn.closed_loop.step, []

    def counted(hidden, x, state):
        shown.append(len(x))
        return step(hidden, x, state)

    monkeypatch.setattr(convexsnn.closed_loop, "step", counted)
    loop = FeedbackLoop(0, {0: 0.0, 1: 1.0})
    predict_closed_loop(model, X, loop)
    assert shown == [10] * 7
    shown.clear()
    predict_closed_loop(model, [X[0, :2], X[1], X[2, :5]], loop)
    assert shown == [3, 3, 2, 2, 2, 1, 1]


def fit_small(estimator: SpikingEstimator):
    X, y = draw_data(n=10)
    return estimator.fit(X, y[:, :, 1] if estimator.per_step else y[:, 0, 1]), X


GOOD = FeedbackLoop(0, {0: 0.0, 1: 1.0})


@pytest.mark.parametrize(
    ("estimator", "loop", "message"),
    [
        (SpikingRegressor(**SMALL), GOOD, "values must be None for a regressor"),
        (SpikingClassifier(**SMALL), FeedbackLoop(0), "values must say what number each label is"),
        (SpikingClassifier(**(SMALL | {"per_step": False})), GOOD, "estimator must be fitted with per_step=True"),
        (SpikingClassifier(**SMALL), FeedbackLoop(3, {0: 0.0, 1: 1.0}), "feature must be one of the 3 columns of X"),
        (SpikingClassifier(**SMALL), FeedbackLoop(0, {0: 0.0, 1: 1.0}, 1), "output must be one of the 1 outputs"),
        (SpikingClassifier(**SMALL), FeedbackLoop(0, {0: 0.0}), r"values must hold .* none for \[1\]"),
        (SpikingClassifier(**small(dtype="float32")), FeedbackLoop(0, {0: 1e39, 1: 1e39}), "beyond the range"),
    ],
)
def test_bad_arguments_are_refused(estimator, loop, message):
    model, X = fit_small(estimator)
    with pytest.raises(ValueError, match=message):
        predict_closed_loop(model, X, loop)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"feature": -1}, "feature must be an integer"),
        ({"output": 0.5}, "output must be an integer"),
        ({"start": np.nan}, "start must be finite"),
        ({"warm_up": -1}, "warm_up must be an integer"),
        ({"values": [0.0, 1.0]}, "values must be a mapping"),
        ({"values": {0: "x"}}, r"values\[0\] must be a number"),
    ],
)
def test_a_loop_checks_its_fields(fields, message):
    with pytest.raises(ValueError, match=message):
        FeedbackLoop(**({"feature": 0, "values": {0: 0.0}} | fields))
