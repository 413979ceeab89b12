"""A readout that the library does not know, put through every entry point: it works, or it is refused by its name."""

from dataclasses import dataclass, replace
from typing import ClassVar

import cvxpy as cp
import numpy as np
import pytest
import torch

from convexsnn import (
    Architecture,
    Exact,
    FeedbackLoop,
    Gaussian,
    Network,
    Problem,
    Search,
    SpikingClassifier,
    SpikingRegressor,
    Surrogate,
    as_sequences,
    build_dictionary,
    gaussian,
    predict_closed_loop,
    simulate,
)
from convexsnn.bounds import NetworkFamily, enumerate_family, enumeration_cost
from convexsnn.columns import RealColumns
from convexsnn.cost import inference_cost
from convexsnn.display import RasterDisplay, WeightsDisplay
from convexsnn.exact import ExactSettings
from convexsnn.export import to_nir, to_norse, to_snntorch, to_spikingjelly, to_torch
from convexsnn.losses import LOSSES
from convexsnn.network import Hidden
from convexsnn.penalties import PENALTIES
from convexsnn.proof.verification import verify_exactly
from convexsnn.readouts import READOUTS, Reading, Readout, as_readout
from convexsnn.reconstruction import quantise, widen_margins
from convexsnn.ridge import fit_ridge
from convexsnn.simulation import scores
from convexsnn.storage import load_model, save_model
from convexsnn.surrogate import SurrogateSettings, train_surrogate
from convexsnn.verification import verify
from convexsnn.witnesses import with_constant
from helpers import KINDS, assert_goes_on, draw_hidden, draw_sequences, generator


@dataclass(frozen=True)
class Share(Readout):
    """The share of the steps so far at which a neuron fired."""

    name: ClassVar[str] = "share"
    bits: ClassVar[bool] = False

    def box(self, steps, dtype):  # noqa: ARG002
        return (0.0, 1.0)

    def start(self, zeros):
        return (zeros,)

    def update(self, last):
        return (last.accumulated[0] + last.spikes,)

    def read(self, last):
        return Reading(last.accumulated[0] / last.steps)


@dataclass(frozen=True)
class Trace(Readout):
    """A sum that leaks, with a sign: the same room, with a setting and a box that has no universal bound."""

    mu: float

    name: ClassVar[str] = "trace"
    bits: ClassVar[bool] = False

    def box(self, steps, dtype):  # noqa: ARG002
        return (-1.0 / (1.0 - self.mu), 1.0 / (1.0 - self.mu))

    def start(self, zeros):
        return (zeros,)

    def update(self, last):
        return (self.mu * last.accumulated[0] + last.spikes,)

    def read(self, last):
        return Reading(last.accumulated[0])


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    monkeypatch.setitem(READOUTS, "share", Share)
    monkeypatch.setitem(READOUTS, "trace", Trace)


def spikes_of(hidden, sequences):
    """Spikes of the last layers, a list of (T_i, P_last)."""
    spikes = simulate(replace(hidden, readout="spike", every_step=True), sequences).features.double()
    return spikes.split(sequences.lengths.tolist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("every_step", [False, True])
def test_features_are_shares_of_steps_whatever_the_lengths(kind, every_step):
    hidden, sequences = draw_hidden(kind, readout="share", every_step=every_step), draw_sequences(ragged=True)
    simulation, expected = simulate(hidden, sequences), []
    for spikes in spikes_of(hidden, sequences):
        shares = spikes.cumsum(dim=0) / torch.arange(1, len(spikes) + 1).unsqueeze(1)
        expected.append(shares if every_step else shares[-1:])
    assert torch.allclose(simulation.features, torch.cat(expected), rtol=0.0, atol=1e-15)
    assert simulation.margin == simulate(replace(hidden, readout="spike"), sequences).margin
    dictionary = build_dictionary(hidden, sequences)
    assert isinstance(dictionary.columns, RealColumns)
    loud = dictionary.column_of >= 0
    assert torch.equal(
        dictionary.columns.dense()[:, dictionary.column_of[loud]], simulation.features[:, loud].to(torch.float64)
    )


def test_what_was_accumulated_is_part_of_the_state():
    assert_goes_on(draw_hidden(readout="share"), draw_sequences(T=7), 3)


def data(n=40, T=6):
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(n, T, 3)) + 0.4, 2)
    return X, (X[:, :, 0].mean(axis=1) > 0.4).astype(int)


SHARES = {"last": 24, "depth": 2, "readout": "share"}


@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_certificates_and_universal_bounds_hold(penalty):
    X, y = data()
    family = Gaussian(**SHARES)
    model = SpikingClassifier(witnesses=family, loss="hinge", rho=0.01, penalty=penalty, random_state=0).fit(X, y)
    certificate, bound = model.certificate_, model.certificate_.global_bound
    assert certificate.holds(1e-6)
    D = build_dictionary(model.trained_.witnesses, as_sequences(X)).columns.dense().numpy()
    W, signs = cp.Variable((D.shape[1], 1)), np.where(y, 1.0, -1.0)[:, None]
    loss = cp.sum(cp.pos(1 - cp.multiply(signs, D @ W))) / len(y)
    optimum = cp.Problem(cp.Minimize(loss + 0.01 * cp.sum(cp.abs(W)))).solve(solver="CLARABEL")
    assert certificate.dual - 1e-9 <= optimum <= certificate.primal + 1e-9
    # No other network that is read so gets below the bound, which speaks of numbers from 0 to 1.
    assert "numbers from 0 to 1" in bound.family
    for seed in range(5):
        many = Gaussian(**(SHARES | {"last": 200}))
        other = SpikingClassifier(witnesses=many, random_state=seed, loss="hinge", rho=0.01).fit(X, y)
        assert other.certificate_.primal >= bound.value
    problem = model.problem(X, y)
    assert problem.objective(model.network_) == pytest.approx(certificate.primal, rel=1e-12)
    assert verify(model.trained_, certificate, problem).holds


def test_a_box_that_goes_below_0_has_no_universal_bound():
    X, y = data()
    hidden = gaussian(Architecture(3, depth=2, last=20), generator(0))
    model = SpikingClassifier(witnesses=replace(hidden, readout=Trace(0.5)), loss="hinge", rho=0.01).fit(X, y)
    assert model.certificate_.holds(1e-6)
    assert model.certificate_.global_bound is None


@pytest.mark.parametrize("readout", ["share", Trace(0.75)])
def test_files_keep_it_with_its_settings_and_need_its_kind(tmp_path, monkeypatch, readout):
    X, y = data()
    hidden = replace(gaussian(Architecture(3, depth=2, last=20), generator(0)), readout=readout)
    model = SpikingClassifier(witnesses=hidden, beta=0.01).fit(X, y)
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert loaded.network_.equals(model.network_)
    assert loaded.network_.hidden.readout == as_readout(readout)
    assert np.array_equal(loaded.decision_function(X), model.decision_function(X))
    name = as_readout(readout).name
    monkeypatch.delitem(READOUTS, name)
    with pytest.raises(ValueError, match=f"readout must be one of 'spike'.* got '{name}'"):
        load_model(tmp_path / "m.safetensors")


def test_by_name_in_estimators_with_an_intercept_of_which_it_reads_one():
    X, y = data()
    model = SpikingClassifier(witnesses=Gaussian(**SHARES), intercept=True, random_state=0).fit(X, y)
    assert model.network_.hidden.readout == Share()
    S = scores(model.network_, as_sequences(X)).numpy()
    assert np.allclose(S[:, 1] - S[:, 0], model.decision_function(X)) or np.allclose(S, model.decision_function(X))
    regressor, means = SpikingRegressor(witnesses=Gaussian(**SHARES), random_state=0), X[:, :, 0].mean(axis=1)
    assert regressor.fit(X, means).score(X, means) > 0.5
    with pytest.raises(ValueError, match=r"trace\(mu=0.5\).*leave the intercept out"):
        with_constant(Hidden(3, (), Trace(0.5)))


def test_it_is_predicted_with_in_closed_loop():
    X, _ = data()
    y = (X[:, :, 0].cumsum(axis=1) > 1.0).astype(int)
    model = SpikingClassifier(witnesses=Gaussian(**SHARES), per_step=True, random_state=0).fit(X, y)
    labels, inputs = predict_closed_loop(model, X, FeedbackLoop(1, {0: -1.0, 1: 1.0}), return_inputs=True)
    assert np.array_equal(labels, model.predict(inputs))


def test_costs_ridge_and_pictures():
    hidden, sequences = draw_hidden(readout="share"), draw_sequences()
    network = Network(hidden, torch.ones(hidden.n_last, 1, dtype=torch.float64))
    bits, rates = (
        inference_cost(replace(network, hidden=replace(hidden, readout=r)), sequences) for r in ("spike", "share")
    )
    assert rates.effective_macs - bits.effective_macs == pytest.approx(
        float((simulate(hidden, sequences).features != 0).sum()) / len(sequences)
    )
    assert rates.spikes_per_inference == bits.spikes_per_inference
    fit_ridge(hidden, sequences, sequences.values[:, -1, :1], (0.1,))
    pytest.importorskip("matplotlib")
    RasterDisplay.from_network(hidden, sequences)
    WeightsDisplay.from_network(network)


def network():
    hidden = draw_hidden(readout="share")
    return Network(hidden, torch.ones(hidden.n_last, 1, dtype=torch.float64))


def surrogate():
    targets, weights = torch.ones(4, 1, dtype=torch.float64), torch.full((4,), 0.25, dtype=torch.float64)
    problem = Problem(draw_sequences(n=4), targets, LOSSES["squared"], PENALTIES["l1"], 0.1, weights)
    train_surrogate(network(), problem, SurrogateSettings(epochs=1))


def fit(witnesses):
    return SpikingClassifier(witnesses=witnesses).fit(*data())


def flat():
    return gaussian(Architecture(3, depth=2, branches=1, last=2, readout="share"), generator(0))


REFUSALS = {
    "torch": lambda: to_torch(network()),
    "snntorch": lambda: to_snntorch(network()),
    "spikingjelly": lambda: to_spikingjelly(replace(network(), hidden=draw_hidden("LIF hard", readout="share"))),
    "norse": lambda: to_norse(network()),
    "nir": lambda: to_nir(network(), soft_reset="subgraph"),
    "quantise": lambda: quantise(network(), draw_sequences()),
    "widen": lambda: widen_margins(network(), draw_sequences()),
    "surrogate": surrogate,
    "surrogate family": lambda: fit(Surrogate(readout="share")),
    "search": lambda: Search(readout="share"),
    "search after gaussian": lambda: fit(Gaussian(readout="share") + Search()),
    "exact": lambda: Exact(readout="share"),
    "enumerate": lambda: enumerate_family(NetworkFamily.of(flat()), draw_sequences()),
    "enumeration cost": lambda: enumeration_cost(NetworkFamily.of(flat()), draw_sequences()),
    "tighten": lambda: fit(flat()).tighten_bound(*data()),
    "tighten by pricing": lambda: fit(flat()).tighten_bound(*data(), ExactSettings("pricing")),
    "unknown": lambda: as_readout("shares"),
    "other settings": lambda: as_readout({"kind": "share", "windows": 3}),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_knows_only_some_readouts_refuses_this_one_by_name(what):
    packages = {"spikingjelly": "spikingjelly.activation_based", "norse": "norse.torch"}
    if what in ("snntorch", "spikingjelly", "norse", "nir"):
        pytest.importorskip(packages.get(what, what))
    with pytest.raises(ValueError, match=r"\bshares?\b"):
        REFUSALS[what]()


def test_exact_verification_refuses_it_by_name(tmp_path):
    X, y = data()
    save_model(SpikingClassifier(witnesses=Gaussian(**SHARES)).fit(X, y), tmp_path / "m.safetensors")
    outcome = verify_exactly(tmp_path / "m.safetensors", X, y)
    assert not outcome.holds
    assert "readout 'share' is unknown" in outcome.problems[0]
