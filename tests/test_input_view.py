"""Input in units of its spread and at several steps, as a part of the network: raw input needs no scaler."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn import (
    Gaussian,
    Heterogeneous,
    Reservoir,
    Search,
    SpikingClassifier,
    Surrogate,
    as_sequences,
    simulate,
)
from convexsnn.batches import as_batches
from convexsnn.losses import LOSSES
from convexsnn.network import Branch, Hidden, Layer
from convexsnn.neurons import Threshold
from convexsnn.penalties import PENALTIES
from convexsnn.problem import Problem
from convexsnn.search import SearchSettings, search
from convexsnn.storage import load_model, save_model
from convexsnn.witnesses import Architecture, InputView, gaussian
from helpers import KINDS, draw_hidden

SMALL = {"depth": 2, "last": 16, "readout": "rate", "standardise": True}
QUICK = {
    "depth": 2, "width": 4, "population": 16, "generations": 4, "rounds": 5, "prune": 0,
    "oracles": ("restarts", "inputs"), "readout": "rate",
}  # fmt: skip
FAMILIES = {
    "gaussian": Gaussian(**SMALL),
    "heterogeneous": Heterogeneous(**SMALL),
    "reservoir": Reservoir(**SMALL),
    "surrogate": Surrogate(**SMALL, epochs=1),
    "search": Search(**QUICK, standardise=True),
}


def raw(n=40, T=6, seed=0):
    """A feature far from zero, a tiny one, a constant one and one of bits; the first two decide the label."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n, T, 2))
    bits = rng.integers(2, size=(n, T, 1))
    X = np.concatenate([1e4 + 50.0 * noise[:, :, :1], 1e-5 * noise[:, :, 1:], np.full((n, T, 1), 7e3), bits], axis=2)
    return X, (noise.sum(axis=(1, 2)) > 0).astype(int)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), kind=st.sampled_from(list(KINDS)))
def test_the_network_does_on_raw_input_what_it_did_on_standardised_input(seed, kind):
    rng = np.random.default_rng(seed)
    # Powers of two, so that nothing is rounded: equal means equal.
    X = [rng.integers(-8, 9, size=(rng.integers(1, 6), 3)) * 4.0 + 64.0 for _ in range(10)]
    view = InputView(torch.tensor([64.0, 0.0, -32.0]).double(), torch.tensor([4.0, 1.0, 0.5]).double())
    hidden = draw_hidden(kind)
    eighths = lambda tensor: None if tensor is None else (8.0 * tensor).round() / 8.0  # noqa: E731
    first = [
        replace(b.layers[0], weight=eighths(b.layers[0].weight), bias=eighths(b.layers[0].bias))
        for b in hidden.branches
    ]
    branches = [Branch((layer, *b.layers[1:])) for layer, b in zip(first, hidden.branches, strict=True)]
    hidden = replace(hidden, branches=tuple(branches), readout="count")
    before, after = simulate(hidden, view.applied(as_sequences(X))), simulate(view.inside(hidden), as_sequences(X))
    assert torch.equal(before.features, after.features)


def test_bits_and_constant_features():
    X, _ = raw()
    view = InputView.of(as_sequences(X))
    assert view.spread[:2].numpy() == pytest.approx(X[:, :, :2].std(axis=(0, 1)))
    assert (view.centre[2], view.spread[2]) == (7e3, 1.0)  # zero after its mean is taken off
    assert (view.centre[3], view.spread[3]) == (0.0, 1.0)  # as it is
    shown = view.applied(as_sequences([X[0], X[1, :2]]))
    assert bool((shown.values[:, :, 2] == 0.0).all())
    assert bool((shown.values[1, 2:] == 0.0).all())
    assert InputView.of(as_sequences(X[:, :, 3:])).plain
    hidden = gaussian(Architecture(1, last=4, hidden=4), torch.Generator().manual_seed(0))
    assert InputView.of(as_sequences(X[:, :, 3:])).inside(hidden) is hidden
    # A constant whose mean is rounded.
    assert InputView.of(as_sequences(np.full((7, 3, 1), 0.1))).spread.item() == 1.0


@pytest.mark.parametrize("name", FAMILIES)
def test_units_of_the_input_change_nothing(name, tmp_path):
    X, y = raw()
    family = FAMILIES[name]
    model = SpikingClassifier(witnesses=family, beta=0.02, random_state=0).fit(X, y)
    assert model.certificate_.holds(1e-6)
    assert model.score(X, y) > 0.8
    # The same numbers in other units, of which all are exact.
    scaled = X * np.array([2.0**-10, 2.0**12, 1.0, 1.0])
    other = SpikingClassifier(witnesses=family, beta=0.02, random_state=0).fit(scaled, y)
    assert np.array_equal(other.predict(scaled), model.predict(X))
    save_model(model, tmp_path / "m.safetensors")
    assert np.array_equal(load_model(tmp_path / "m.safetensors")[0].predict(X), model.predict(X))


def test_delays_keep_the_mean_of_their_input():
    X, y = raw()
    model = SpikingClassifier(witnesses=Surrogate(**SMALL, taps=3, epochs=1), random_state=0).fit(X[:, :, 1:], y)
    layers = list(model.trained_.witnesses.layers())
    assert {layer.delays for layer in layers} == {(0, 1, 2)}
    assert all(layer.bias is None for layer in layers)
    view = InputView.of(as_sequences(X), centred=False)
    assert not bool(view.centre.any())
    view = replace(view, spread=torch.tensor([64.0, 0.5, 4.0, 1.0]).double())
    layer = Layer(torch.ones(8, 1).double(), Threshold(), bias=torch.full((1,), -300.0).double(), delays=(0, 2))
    hidden = Hidden(4, (Branch((layer,)),), "rate")
    before, after = simulate(hidden, view.applied(as_sequences(X))), simulate(view.inside(hidden), as_sequences(X))
    assert torch.equal(before.features, after.features)


@pytest.mark.parametrize(("standardise", "depth"), [(False, 3), (True, 2)])
def test_a_search_sees_several_steps(standardise, depth):
    """The label is the sign of products of steps three apart."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(7, 10, size=60)
    X = [rng.choice([-8.0, 8.0], size=(T, 1)) + rng.normal(size=(T, 1)) for T in lengths]
    y = np.array([np.sign(x[3:] * x[:-3]).sum() > 0 for x in X]).astype(int)
    hinge = LOSSES["hinge"]
    problem = Problem(as_sequences(X), hinge.encode(torch.from_numpy(y), 2), hinge, PENALTIES["l1"], 0.01)
    how = SearchSettings(**(QUICK | {"depth": depth, "leak": 0.0, "standardise": standardise}))
    plain, delayed = (search(problem, replace(how, delays=delays)) for delays in ((0,), (0, 3)))
    assert delayed.history[-1].objective < plain.history[-1].objective
    assert {branch.layers[0].delays for branch in delayed.network.hidden.branches} == {(0, 3)}
    assert problem.objective(delayed.network) == pytest.approx(delayed.history[-1].objective, rel=1e-9)
    model = SpikingClassifier(witnesses=Search(**QUICK, delays=(0, 3)), intercept=True, random_state=0).fit(X, y)
    assert model.certificate_.holds(1e-6)


def test_bits_are_left_alone():
    bits = np.random.default_rng(0).integers(2, size=(30, 5, 2)).astype(float)
    y = (bits.sum(axis=(1, 2)) > 5).astype(int)
    for plain in (Gaussian(depth=2, last=16), Search(**QUICK)):
        fits = [
            SpikingClassifier(witnesses=family, random_state=0).fit(bits, y)
            for family in (plain, plain.with_params(standardise=True))
        ]
        assert fits[0].network_.equals(fits[1].network_)


def test_what_does_not_know_units_refuses_them_by_name():
    X, y = raw(12)
    with pytest.raises(ValueError, match=r"standardise.*stand alone"):
        Gaussian() + Search(standardise=True)
    with pytest.raises(ValueError, match=r"delays must stand alone"):
        Gaussian() + Search(delays=(0, 1))
    layer = Layer(torch.ones(2, 1).double(), Threshold(), delays=(0, 2))
    view = InputView(torch.ones(1).double(), torch.ones(1).double())
    with pytest.raises(ValueError, match=r"standardise.*no connections with delays"):
        view.inside(Hidden(1, (Branch((layer,)),)))
    given = gaussian(Architecture(4, depth=2, last=4, readout="rate"), torch.Generator().manual_seed(0))
    problem = Problem(
        as_sequences(X), LOSSES["hinge"].encode(torch.from_numpy(y), 2), LOSSES["hinge"], PENALTIES["l1"], 0.1
    )
    with pytest.raises(ValueError, match="standardise and delays are for a search from nothing"):
        search(problem, SearchSettings(readout="rate", depth=2, standardise=True), given=given)
    with pytest.raises(ValueError, match="in memory"):
        SpikingClassifier(witnesses=Gaussian(standardise=True)).fit(as_batches([(X, y)]))
