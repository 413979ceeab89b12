"""Displays draw what they say, after scikit-learn's pattern."""

import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from convexsnn import Gaussian, Search, SpikingClassifier, SpikingRegressor
from convexsnn.cost import inference_cost
from convexsnn.display import (
    BoundsDisplay,
    CertificateDisplay,
    ColumnsDisplay,
    ConfusionDisplay,
    CostDisplay,
    RasterDisplay,
    WeightsDisplay,
)
from convexsnn.simulation import simulate

figures = pytest.importorskip("matplotlib.figure")
SMALL = {"witnesses": Gaussian(hidden=16, last=48, readout="spike"), "random_state": 0}


def axes(n=1):
    return figures.Figure().subplots(1, n)


def bits(n=80, T=5, seed=0):
    drawn = np.random.default_rng(seed).integers(2, size=(n, T))
    return np.eye(2)[drawn], drawn


@pytest.fixture(scope="module")
def data():
    X, drawn = bits()
    return X, drawn[:, 0] + 2 * drawn[:, 1]  # four classes


@pytest.fixture(scope="module")
def model(data):
    return SpikingClassifier(beta=0.02, **SMALL).fit(*data)


@pytest.fixture(scope="module")
def searched():
    X, drawn = bits()
    model = SpikingClassifier(loss="hinge", beta=0.05, witnesses=Search(rounds=3, width=4, effort=2e7), random_state=0)
    return model.fit(X, drawn[:, 0] ^ drawn[:, -1])


def without_breaks(values):
    values = np.asarray(values, dtype=float)
    return values[~np.isnan(values)].tolist()


def test_bounds_show_every_round(searched):
    both = axes(2)
    shown = BoundsDisplay.from_estimator(searched, ax=both)
    rounds = searched.history_
    lines = {line.get_label(): without_breaks(line.get_ydata()) for line in shown.ax_.lines + shown.columns_ax_.lines}
    assert lines == {
        "objective": [entry.objective for entry in rounds],
        "lower bound on this dictionary": [entry.dual for entry in rounds],
        "lower bound on any network": [entry.global_bound for entry in rounds],
        "columns": [entry.columns for entry in rounds],
        "with weight": [entry.support for entry in rounds],
    }
    assert without_breaks(shown.ax_.lines[0].get_xdata()) == [entry.seconds for entry in rounds]
    assert shown.figure_ is both[0].figure
    alone = BoundsDisplay(rounds).plot(axes())
    assert len(alone.ax_.lines) == 3
    assert alone.columns_ax_ is None


def test_bounds_of_different_rho_are_not_joined(searched):
    first = searched.history_[-1]
    later = replace(first, rho=first.rho / 10, objective=first.objective / 10, seconds=first.seconds + 1)
    shown = BoundsDisplay([first, later]).plot(axes())
    assert np.isnan(shown.ax_.lines[0].get_ydata()).tolist() == [False, True, False]
    assert [text.get_text().split() for text in shown.ax_.texts] == [
        ["rho", f"{own.rho:.2g}"] for own in (first, later)
    ]
    assert not BoundsDisplay([first, first]).plot(axes()).ax_.texts


def test_bounds_need_a_search(model):
    with pytest.raises(ValueError, match="at least one round: nothing was searched"):
        BoundsDisplay.from_estimator(model)


def test_certificate_shows_objective_and_bounds(model):
    shown = CertificateDisplay.from_estimator(model, ax=axes())
    certificate = model.certificate_
    widths = [bar.get_width() for bar in shown.bars_]
    assert widths == [certificate.primal, certificate.dual, certificate.global_bound.value]
    assert list(shown.values)[1:] == ["lower bound, readouts of its neurons", "lower bound, networks of any kind"]


def test_confusion_counts_every_sequence(model, data):
    X, y = data
    shown = ConfusionDisplay.from_estimator(model, X, y, ax=axes())
    predicted = model.predict(X)
    expected = [[int(((y == a) & (predicted == b)).sum()) for b in range(4)] for a in range(4)]
    assert shown.confusion_matrix.tolist() == expected
    assert isinstance(shown, ConfusionDisplay)
    with pytest.raises(ValueError, match="output must be an integer from 0 to 0"):
        ConfusionDisplay.from_estimator(model, X, y, output=1)


def test_confusion_of_steps_of_ragged_sequences_and_of_one_of_several_outputs():
    X, drawn = bits()
    y = np.stack([drawn, np.cumsum(drawn, axis=1) % 3], axis=2)
    ragged = [x[: 2 + i % 4] for i, x in enumerate(X)]
    labels = [own[: 2 + i % 4] for i, own in enumerate(y)]
    model = SpikingClassifier(per_step=True, **SMALL).fit(ragged, labels)
    shown = ConfusionDisplay.from_estimator(model, ragged, labels, output=1, ax=axes())
    predicted = np.concatenate(model.predict(ragged))[:, 1]
    given = np.concatenate(labels)[:, 1]
    expected = [[int(((given == a) & (predicted == b)).sum()) for b in range(3)] for a in range(3)]
    assert shown.confusion_matrix.tolist() == expected


def test_raster_shows_the_spikes_that_are_read(model, data):
    X, _ = data
    shown = RasterDisplay.from_estimator(model, X, index=7, ax=axes())
    one = simulate(model.network_.hidden, model.sequences(X[7:8]))
    assert sum(int(spikes.sum()) for spikes in shown.layers.values()) == one.n_spikes > 0
    assert shown.layers["layer 2"][-1].tolist() == one.features[0].tolist()
    assert np.array_equal(shown.input, X[7])
    assert list(shown.images_) == ["input", *shown.layers]
    for name, spikes in shown.layers.items():
        assert np.array_equal(shown.images_[name].get_array(), spikes.T)
    places = [tuple(image.get_extent()) for image in shown.images_.values()]
    assert all(place[:2] == (0.5, 5.5) for place in places)
    assert all(below[3] < above[2] for below, above in pairwise(places))
    with pytest.raises(ValueError, match="index must be an integer from 0 to 79"):
        RasterDisplay.from_estimator(model, X, index=80)


def test_raster_ends_with_the_sequence(model, data):
    X, _ = data
    shown = RasterDisplay.from_estimator(model, [X[0], X[1][:3]], index=1, ax=axes())
    assert {len(spikes) for spikes in shown.layers.values()} == {3}


def test_weights_of_readout_come_by_size(model):
    shown = WeightsDisplay.from_estimator(model, ax=axes())
    sizes = np.linalg.norm(shown.weights, axis=0)
    assert shown.weights.shape == (4, int((model.network_.W != 0).any(dim=1).sum()))
    assert (np.diff(sizes) <= 0).all()
    assert np.array_equal(shown.image_.get_array(), shown.weights)
    first = WeightsDisplay.from_estimator(model, which="input", ax=axes())
    assert first.weights.shape == (2, sum(branch.layers[0].m for branch in model.network_.hidden.branches))
    with pytest.raises(ValueError, match="which must be one of"):
        WeightsDisplay.from_estimator(model, which="hidden")


def test_weights_of_one_output_are_bars(searched):
    shown = WeightsDisplay.from_estimator(searched, ax=axes())
    assert [bar.get_height() for bar in shown.ax_.patches] == shown.weights[0].tolist()


def test_scores_against_columns_end_at_the_network_itself(model, data):
    X, y = data
    shown = ColumnsDisplay.from_estimator(model, X, y, ax=axes())
    assert shown.columns[0] == 0
    assert shown.columns[-1] == model.certificate_.support
    assert shown.scores[-1] == model.score(X, y)
    k = int(shown.columns[5])
    network = model.network_
    largest = network.W.norm(dim=1).argsort(descending=True)[:k]
    S = simulate(network.hidden, model.sequences(X)).features[:, largest].double() @ network.W[largest]
    assert shown.scores[5] == np.mean(model.classes_[S.argmax(dim=1).numpy()] == y)
    with pytest.raises(ValueError, match="n_points must be an integer of at least 2"):
        ColumnsDisplay.from_estimator(model, X, y, n_points=1)


def test_scores_against_columns_of_a_path_and_of_a_regressor(data):
    X, y = data
    model = SpikingClassifier(beta=[1.0, 0.1, 0.01], **SMALL).fit(X, y, validation=(X, y))
    shown = ColumnsDisplay.from_path(model, ax=axes())
    assert shown.columns.tolist() == [point.support for point in model.path_]
    assert shown.scores.tolist() == [point.validation_score for point in model.path_]
    regressor = SpikingRegressor(**SMALL).fit(X, y.astype(float))
    assert ColumnsDisplay.from_estimator(regressor, X, y, ax=axes()).scores[-1] == pytest.approx(regressor.score(X, y))
    with pytest.raises(ValueError, match="several betas"):
        ColumnsDisplay.from_path(regressor)


def test_cost_is_that_of_neurobench(model, data):
    X, _ = data
    shown = CostDisplay.from_estimator(model, X, ax=axes())
    cost = inference_cost(model.network_, model.sequences(X))
    expected = [cost.dense_operations, cost.effective_macs, cost.effective_acs, cost.spikes_per_inference]
    assert [bar.get_width() for bar in shown.bars_] == expected


def test_without_axes_a_pyplot_figure_is_made(model):
    plt = pytest.importorskip("matplotlib.pyplot")
    shown = CertificateDisplay.from_estimator(model)
    assert plt.fignum_exists(shown.figure_.number)
    plt.close(shown.figure_)


def test_without_matplotlib_it_says_what_to_install(model, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("convexsnn.display.axes.find_spec", lambda _: None)
    for draw in (
        lambda: CertificateDisplay.from_estimator(model),
        lambda: ConfusionDisplay.from_estimator(model, *data),
        lambda: RasterDisplay.from_estimator(model, data[0]),
    ):
        with pytest.raises(ImportError, match=r"Display needs matplotlib: pip install 'convexsnn\[plot\]'"):
            draw()
