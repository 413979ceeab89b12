"""Readouts over time: what they read, their boxes, certificates, and the bound over all networks."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
import torch

from convexsnn import Gaussian, SpikingClassifier, SpikingRegressor, as_sequences, build_dictionary, simulate
from convexsnn.network import Network
from convexsnn.readouts import Analog, Count, LastLayer, Leaky, Membrane, Rate, Several, Spike, Windows, as_readout
from convexsnn.reconstruction import reconstruct
from convexsnn.simulation import scores
from convexsnn.storage import load_model, save_model
from convexsnn.verification import verify
from helpers import KINDS, assert_goes_on, draw_hidden, draw_sequences, generator

MIXED = Several((Rate(), Spike(), Windows(2, 3)))
READ = {
    "rate": lambda s: [s.mean(dim=0)],
    "count": lambda s: [s.sum(dim=0)],
    "leaky": lambda s: [sum(0.75 ** (len(s) - 1 - t) * s[t] for t in range(len(s)))],
    "windows": lambda s: [
        part.mean(dim=0) if len(part) else torch.zeros(s.shape[1], dtype=s.dtype) for part in (s[:3], s[3:6], s[6:])
    ],
    "several": lambda s: [s.mean(dim=0), s[-1], s[:3].mean(dim=0), (s[3:].mean(dim=0) if len(s) > 3 else 0.0 * s[0])],
}
KINDS_OF = {"rate": Rate(), "count": Count(), "leaky": Leaky(0.75), "windows": Windows(3, 3), "several": MIXED}


def spikes_of(hidden, sequences):
    """Spikes of the last layers, a list of (T_i, neurons)."""
    spikes = simulate(replace(hidden, readout="spike", every_step=True), sequences).features.double()
    return spikes.split(sequences.lengths.tolist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("every_step", [False, True])
def test_features_are_those_of_the_spikes_whatever_the_lengths(kind, name, every_step):
    hidden = draw_hidden(kind, readout=KINDS_OF[name], every_step=every_step)
    sequences, expected = draw_sequences(ragged=True, T=8), []
    for spikes in spikes_of(hidden, sequences):
        for t in range(1, len(spikes) + 1) if every_step else [len(spikes)]:
            expected.append(torch.stack(READ[name](spikes[:t]), dim=1).flatten())
    found = simulate(hidden, sequences)
    assert found.features.shape == (len(expected), hidden.n_last)
    # Branch by branch, and in a branch neuron by neuron.
    parts, sizes = hidden.readout.parts, [branch.last.m for branch in hidden.branches]
    assert hidden.n_last == parts * sum(sizes)
    assert torch.allclose(found.features, torch.stack(expected), rtol=0.0, atol=1e-14)


@pytest.mark.parametrize("name", READ)
def test_a_network_goes_on_from_its_state(name):
    assert_goes_on(draw_hidden(readout=KINDS_OF[name]), draw_sequences(T=7), 3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("readout", [*KINDS_OF.values(), Leaky(1.0), Leaky(0.0), Leaky(0.1)])
def test_boxes_hold_whatever_fires(readout, dtype):
    low, high = readout.box(9, dtype)
    assert low == 0.0
    random = torch.Generator().manual_seed(0)
    spikes = (torch.rand(9, 1, 500, generator=random) < 0.9).to(dtype)
    spikes[:, :, 0] = 1.0
    carried, seen, reached = readout.start(torch.zeros(1, 500, dtype=dtype)), torch.zeros(1, 1, dtype=torch.int64), 0.0
    for t in range(9):
        seen = seen + 1
        carried = readout.update(LastLayer(spikes[t], spikes[t], carried, seen, None))
        features = readout.read(LastLayer(spikes[t], spikes[t], carried, seen, None)).features
        assert float(features.min()) >= 0.0
        reached = max(reached, float(features.max()))
    assert reached == high  # neuron 0 fires at every step


def test_boxes_of_bits_and_of_numbers():
    assert Spike().box(5, torch.float64) == Membrane().box(5, torch.float64) == (0.0, 1.0)
    assert Rate().box(5, torch.float64) == Windows(2, 2).box(5, torch.float64) == (0.0, 1.0)
    assert Count().box(5, torch.float64) == Leaky(1.0).box(5, torch.float64) == (0.0, 5.0)
    assert Several((Count(), Spike())).box(3, torch.float64) == (0.0, 3.0)
    assert Analog().box(5, torch.float64) is None is Several((Analog(), Spike())).box(3, torch.float64)


def data(n=40, T=6):
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(n, T, 3)) + 0.4, 2)
    return X, (X[:, :, 0].mean(axis=1) > 0.4).astype(int)


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_certificates_hold_and_no_other_network_is_below_the_universal_bound(name, penalty):
    X, y = data()
    settings = {"loss": "hinge", "rho": 0.02, "penalty": penalty}
    hidden = Gaussian(depth=2, last=24)
    drawn = SpikingClassifier(witnesses=hidden, random_state=0, **settings).fit(X, y).trained_.witnesses
    witnesses = replace(drawn, readout=KINDS_OF[name])
    model = SpikingClassifier(witnesses=witnesses, **settings).fit(X, y)
    certificate, bound = model.certificate_, model.certificate_.global_bound
    D = build_dictionary(witnesses, as_sequences(X)).columns.dense().numpy()
    W, signs = cp.Variable((D.shape[1], 1)), np.where(y, 1.0, -1.0)[:, None]
    loss = cp.sum(cp.pos(1 - cp.multiply(signs, D @ W))) / len(y)
    optimum = cp.Problem(cp.Minimize(loss + 0.02 * cp.sum(cp.abs(W)))).solve(solver="CLARABEL")
    assert certificate.dual - 1e-9 <= optimum <= certificate.primal + 1e-9
    high = f"{witnesses.readout.box(6, torch.float64)[1]!r}".removesuffix(".0")
    assert f"numbers from 0 to {high}," in bound.family
    # The best of all networks: every row has a neuron of its own that reads the largest number there and 0 elsewhere.
    best = float(high) * np.eye(len(y))
    V = cp.Variable((len(y), 1))
    least = cp.sum(cp.pos(1 - cp.multiply(signs, best @ V))) / len(y) + 0.02 * cp.sum(cp.abs(V))
    assert bound.value <= cp.Problem(cp.Minimize(least)).solve(solver="CLARABEL") + 1e-9
    for other in (200, 400):
        wide = SpikingClassifier(witnesses=Gaussian(depth=2, last=other), random_state=other, **settings).fit(X, y)
        again = replace(wide.trained_.witnesses, readout=KINDS_OF[name])
        assert SpikingClassifier(witnesses=again, **settings).fit(X, y).certificate_.primal >= bound.value
    problem = model.problem(X, y)
    assert problem.objective(model.network_) == pytest.approx(certificate.primal, rel=1e-12)
    assert verify(model.trained_, certificate, problem).holds


def test_the_universal_bound_of_counts_is_reached_where_one_count_separates():
    # Two sequences of four steps; a neuron that counts 4 on one and 0 on the other: margin 1 costs rho / 4 a class.
    X = np.stack([np.ones((4, 1)), -np.ones((4, 1))])
    hidden = SpikingClassifier(witnesses=Gaussian(depth=2, last=8, neuron="threshold"), random_state=0, beta=0.1)
    witnesses = replace(hidden.fit(X, [1, 0]).trained_.witnesses, readout=Count())
    model = SpikingClassifier(witnesses=witnesses, loss="hinge", rho=0.1).fit(X, [1, 0])
    bound = model.certificate_.global_bound
    assert model.certificate_.primal == pytest.approx(0.05, abs=1e-7)  # weights 1/4 and -1/4 of two neurons
    assert bound.value == pytest.approx(0.05, abs=1e-7)


@pytest.mark.parametrize("name", READ)
def test_reconstruction_and_files_keep_every_part(tmp_path, name):
    X, y = data()
    drawn = draw_hidden(readout=KINDS_OF[name])
    dictionary = build_dictionary(drawn, as_sequences(X))
    W = torch.randn(len(dictionary.neuron_of), 2, generator=generator(1), dtype=torch.float64)
    W[torch.rand(len(W), generator=generator(2)) < 0.8] = 0.0
    network, new = reconstruct(drawn, dictionary, W), draw_sequences(seed=9)
    expected = simulate(drawn, new).features.double() @ dictionary.to_neurons(W)
    assert torch.allclose(scores(network, new), expected, atol=1e-12)
    assert network.hidden.n_last < drawn.n_last
    model = SpikingClassifier(witnesses=drawn, beta=0.01).fit(X, y)
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert loaded.network_.hidden.readout == KINDS_OF[name]
    assert np.array_equal(loaded.decision_function(X), model.decision_function(X))


def test_names_and_lists_stand_for_readouts():
    X, _ = data()
    assert as_readout(["rate", "spike", {"kind": "windows", "count": 2, "length": 3}]) == MIXED
    assert as_readout(MIXED.describe()) == MIXED
    assert str(MIXED) == "rate and spike and windows(count=2, length=3)"
    model = SpikingRegressor(witnesses=Gaussian(readout="rate", last=64), intercept=True, random_state=0)
    assert model.fit(X, X[:, :, 0].mean(axis=1)).score(X, X[:, :, 0].mean(axis=1)) > 0.5
    assert isinstance(model.network_, Network)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Leaky(1.5), "mu must be at least 0 and at most 1"),
        (lambda: Windows(0, 1), "count must be an integer of at least 1"),
        (lambda: Windows(2, 1.5), "length must be an integer"),
        (lambda: as_readout(["rate"]), "readouts must be at least two"),
        (lambda: as_readout(["rate", "rate"]), "at least two different ones"),
        (lambda: as_readout(["rate", "rates"]), "Did you mean 'rate'"),
        (lambda: as_readout({"kind": "leaky", "nu": 1}), "readout 'leaky' has other settings"),
        (lambda: Gaussian(readout="several"), "readout"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
