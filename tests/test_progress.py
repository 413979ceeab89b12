"""What is shown of a fit, and who is told of it: bars, lines, observers and scikit-learn's callbacks."""

import io
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from convexsnn import Gaussian, Search, SpikingClassifier, SpikingRegressor, progress
from convexsnn.observer import Observer
from convexsnn.solvers.base import Progress
from convexsnn.storage import describe_parameters

SMALL = {"witnesses": Gaussian(depth=2, last=32), "random_state": 0}
SEARCH = {"witnesses": Search(rounds=3, effort=2e7, population=16), "beta": 0.01, "random_state": 0}


def bits(n=80, T=4):
    drawn = np.random.default_rng(0).integers(2, size=(n, T))
    return np.eye(2)[drawn], drawn[:, 0] ^ drawn[:, -1]


def test_observers_are_told_in_turn():
    heard = []
    first = Observer(began=lambda what: heard.append(("first", what)))
    second = Observer(began=lambda what: heard.append(("second", what)), simulated=lambda *rows: heard.append(rows))
    both = first.and_then(second)
    both.begin("work")
    both.simulated(1, 2)
    assert heard == [("first", "work"), ("second", "work"), (1, 2)]
    assert both.solved is None


def test_verbose_shows_lines_where_there_is_no_terminal_and_changes_nothing(capsys):
    X, y = bits()
    quiet = SpikingClassifier(**SMALL, beta=[1.0, 0.1]).fit(X, y)
    assert capsys.readouterr().err == ""
    loud = SpikingClassifier(**SMALL, beta=[1.0, 0.1], verbose=True).fit(X, y)
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "chosen by the data: gaussian, cross_entropy loss, l1 penalty, several betas"
    assert shown[1] == "2 betas on all sequences"
    assert "fold 1 of 5" in shown
    assert any(line.startswith("solved: objective ") for line in shown)
    assert loud.certificate_ == quiet.certificate_
    assert describe_parameters(loud) == describe_parameters(quiet)
    with pytest.raises(ValueError, match="verbose must be True or False"):
        SpikingClassifier(**SMALL, verbose="yes").fit(X, y)


def test_verbose_of_a_search_is_a_line_a_round(capsys):
    X, y = bits()
    model = SpikingClassifier(**SEARCH, verbose=True).fit(X, y)
    rounds = [line for line in capsys.readouterr().err.splitlines() if line.startswith("round ")]
    assert len(rounds) == len(model.history_)


def test_bars_are_drawn_on_a_terminal_and_are_gone_afterwards():
    rich = pytest.importorskip("rich.console")
    console = rich.Console(file=io.StringIO(), force_terminal=True, width=120)
    with progress.bars(1e-6, console) as observer:
        observer.simulated(3, 4)
        observer.began("beta [0.1]")
        observer.solved(Progress(1, 0.5, 0.4, 0.2, 0.0))
        observer.solved(Progress(2, 0.5, float("-inf"), float("inf"), 0.0))
    drawn = console.file.getvalue()
    assert "3/4 rows" in drawn
    assert "beta [0.1]" in drawn


class Noted:
    """A callback of scikit-learn that keeps what it is told, and asks to stop after so many tasks."""

    def __init__(self, most=None):
        self.most, self.calls = most, []

    def setup(self, estimator, context):  # noqa: ARG002 - as scikit-learn calls it
        self.calls.append(("setup", type(estimator).__name__))

    def teardown(self, estimator, context):  # noqa: ARG002
        self.calls.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context):  # noqa: ARG002
        self.calls.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None, metadata=None, fitted_estimator=None):  # noqa: ARG002
        score = None if fitted_estimator is None else fitted_estimator.predict(X).shape
        self.calls.append(("end", context.task_name, metadata, score))
        return self.most is not None and len(self.calls) > self.most


needs_callbacks = pytest.mark.skipif(
    not hasattr(SpikingClassifier, "set_callbacks"), reason="callbacks came with scikit-learn 1.9"
)


@needs_callbacks
def test_callbacks_see_a_fit_as_a_task_and_its_stages_as_subtasks():
    X, y = bits()
    noted = Noted()
    SpikingRegressor(**SMALL, beta=[1.0, 0.1]).set_callbacks(noted).fit(X, y)
    assert noted.calls[:2] == [("setup", "SpikingRegressor"), ("begin", "fit")]
    assert noted.calls[-2:] == [("end", "fit", None, (80,)), ("teardown", "fit")]
    begun = [call[1] for call in noted.calls if call[0] == "begin"]
    ended = {call[1]: call[2] for call in noted.calls if call[0] == "end"}
    assert set(begun) == set(ended)
    assert "fold 1 of 5" in begun
    assert ended["2 betas on all sequences"]["relative_gap"] <= 1e-6


@needs_callbacks
def test_a_callback_can_stop_a_search_and_is_torn_down_after_an_error():
    X, y = bits()
    noted = Noted(most=3)
    model = SpikingClassifier(**SEARCH).set_callbacks(noted).fit(X, y)
    assert model.stopped_ == "interrupted"
    assert len(model.history_) == 1
    assert noted.calls[3][2] == model.history_[0].to_dict()
    failing = Noted()
    with pytest.raises(ValueError, match="beta"):
        SpikingClassifier(**(SMALL | {"beta": -1})).set_callbacks(failing).fit(X, y)
    assert failing.calls[-1] == ("teardown", "fit")


@needs_callbacks
def test_progress_bars_of_scikit_learn_reach_the_fits_of_a_grid_search(capsys):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar, ScoringMonitor

    X, y = bits()
    monitor = ScoringMonitor(scoring="accuracy")
    model = SpikingClassifier(**SMALL)
    grid = GridSearchCV(model, {"beta": [0.1, 1.0]}, cv=2).set_callbacks(ProgressBar(max_propagation_depth=None))
    grid.fit(X, y)
    assert "SpikingClassifier - fit #3" in capsys.readouterr().out
    fitted = clone(model).set_callbacks(monitor).fit(X, y)
    assert [row["accuracy"] for row in monitor.get_logs().data] == [fitted.score(X, y)]
    assert np.array_equal(pickle.loads(pickle.dumps(grid)).predict(X), grid.predict(X))
